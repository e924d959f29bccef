"""Is the memory alive? One call that measures what a memory does, and says in sentences where it does nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from memenc.diagnostics import integrity, knockout
from memenc.diagnostics.attention_share import attention_shares
from memenc.diagnostics.drift import Drift, Usage, drift, growth, usage
from memenc.diagnostics.gates import Gate, gates_of, memory_parameters
from memenc.diagnostics.gradient_reach import Gradients, gradients
from memenc.diagnostics.horizon import Horizon, at_horizon
from memenc.diagnostics.integrity import Readings
from memenc.diagnostics.knockout import Effect, Knockout, Place, places_of
from memenc.diagnostics.liveness_table import table_of
from memenc.diagnostics.liveness_verdict import problems_of, silent_parts
from memenc.memory.base import GATES
from memenc.model import HasMemenc, MemencModel, memenc_of


@dataclass(frozen=True)
class PlaceLiveness:
    """What was measured of one memory: that of a layer, of a part of it, or over the top.

    Args:
        name: "layer 3", "layer 3 windowed", "top".
        heard: outputs in which its loss must show: "tokens", "vector", or None if nothing reads it.
        retains: whether the design means to hold more than the last segment.
        written: relative change of its state from the initial one.
        effect: what outputs lose without it.
        foreign: how they change if it holds what another document left, None if there is no other.
        attention: share of the last segment's attention that goes to memory, see `attention_shares`; None over the top.
        gradient: norm that the outputs send to what it holds.
        detached: tensors of it that no gradient reaches though the outputs depend on them.
        carried: share of its state that came through the state before, None for documents of two segments.
        gradient_carried: norm of the gradient on the same way.
        usage: of its entries after the documents, None if it has none.
        later_usage: the same after the long reading.
        norms: of its tensors along the long reading.
        growth: the largest exponent with which a norm grows there, see `drift.growth`.
    """

    name: str
    heard: str | None
    retains: bool
    written: float
    effect: Effect
    foreign: Effect | None
    attention: float | None
    gradient: float
    detached: tuple[str, ...]
    carried: float | None
    gradient_carried: float | None
    usage: Usage | None
    later_usage: Usage | None
    norms: dict[str, tuple[float, ...]]
    growth: float


@dataclass(frozen=True)
class Liveness:
    """What a memory does, in plain numbers.

    Args:
        memory: name of the design.
        documents: documents that were read.
        segments: whole segments of each.
        places: one for each memory that has a state, from the bottom to the top; empty for ``memory="none"``.
        effect: what the last segment loses without any memory, None if there is none.
        reach: gradient that the last segment's token states send to the segment before it, the one before that, ...,
            relative to what they send to their own.
        gates: every gate that learns.
        silent: what is without effect or gradient, as the problems name it.
        asleep: the part of `silent` that only waits for `zeros` to be trained.
        zeros: parameters that are zero, as they start.
        frozen: parameters of the memory that do not learn.
        non_finite: names of tensors with NaN or infinity, after the documents or the long reading.
        padding: names of committed tensors that change while no full segment is read.
        shared: pairs of places that hold exactly the same.
        misplaced: layers whose entries do not lie before the segment that reads them.
        readings: what differs between readings that must not.
        idle_loss: whether the design has a loss of its own from which no parameter learns.
        horizon: where gradient ends as the model is trained, None if that has no `bptt_segments`.
        long_reading: segments read at each measurement of the norms.
    """

    memory: str
    documents: int
    segments: int
    places: tuple[PlaceLiveness, ...] = ()
    effect: Effect | None = None
    reach: tuple[float, ...] = ()
    gates: tuple[Gate, ...] = ()
    silent: tuple[str, ...] = ()
    asleep: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    non_finite: tuple[str, ...] = ()
    padding: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    misplaced: tuple[str, ...] = ()
    readings: Readings = field(default_factory=Readings)
    idle_loss: bool = False
    horizon: Horizon | None = None
    long_reading: tuple[int, ...] = ()

    def problems(self) -> list[str]:
        """One sentence for everything that is wrong: what, where, and what to do; empty if nothing is.

        A model that was made without a memory has none; its table says so.
        """
        return problems_of(self)

    def table(self) -> Table:
        """One row per memory, from the first layer to the top."""
        return table_of(self)

    def plot(self, path: str | Path) -> None:
        """Write a PNG: knock-out, gradient reach, norms along a long document, and use of the entries."""
        # Matplotlib takes a while to import, and training needs none of it.
        from memenc.diagnostics.liveness_plot import save_plot

        save_plot(self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """All numbers and the problems, as JSON takes them; None for numbers that are not finite."""
        return _plain(asdict(self) | {"problems": self.problems()})

    def __str__(self) -> str:
        console = Console(width=100)
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join([captured.get().rstrip(), *(f"- {problem}" for problem in self.problems())])


def liveness(
    model: MemencModel | HasMemenc,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    seed: int = 0,
    more_segments: int = 64,
) -> Liveness:
    """Measure what the memory of a model does with these documents.

    Documents are cut to whole segments, as many as the shortest has that has two or more; eight segments or more show
    most. Each memory is emptied before the last segment to see what that changes, gradient is followed back through
    the first eight segments, and the documents' segments are then read on in random order to see where the state goes.
    The model comes back as it was.

    Args:
        model: a MemencModel, or a head model, whose `memenc` is taken.
        input_ids: (documents, tokens) own tokens; a few documents are enough.
        attention_mask: (documents, tokens), 0 at padding; None if there is none.
        seed: of the random projections and of the order of the long reading.
        more_segments: length of the long reading.

    Raises:
        ValueError: no document has two whole segments, or `more_segments` is below 1.
    """
    if more_segments < 1:
        raise ValueError(f"more_segments={more_segments}: give at least 1")
    encoder = memenc_of(model)
    documents = knockout.whole_segments(encoder, input_ids, attention_mask)
    places = places_of(encoder)
    counts = {"memory": encoder.config.memory, "documents": len(documents), "segments": documents.shape[1]}
    if not places:
        return Liveness(**counts)
    trained_through = encoder.encoder.bptt_segments
    with knockout.measured(encoder):
        horizon = at_horizon(encoder, documents, trained_through, seed)
        return Liveness(**counts, horizon=horizon, **_measured(encoder, documents, places, seed, more_segments))


def _measured(
    model: MemencModel, documents: Tensor, places: tuple[Place, ...], seed: int, more_segments: int
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    knocked, all_of_it, found = _influence(model, documents, places, seed)
    silent = silent_parts(knocked, all_of_it, found, places)
    zeros = _zeros(model)
    asleep: set[str] = set()
    if silent and zeros:
        with _roused(zeros, generator):
            asleep = silent - silent_parts(*_influence(model, documents, places, seed), places)
    with torch.no_grad():
        output = model(documents.flatten(1))
    long = drift(model, output.memory, documents, more_segments, places, generator)
    initial = model.initial_memory(len(documents))
    broken = [*integrity.non_finite(initial, output), *integrity.non_finite(initial, long.last)]
    carried = knockout.carried(model, documents, places)
    written = {place.name: knockout.state_change(output.memory, initial, place) for place in places}
    shares = attention_shares(model, documents, places)

    def measured(place: Place) -> PlaceLiveness:
        share, used = shares.get(place.name), usage(output.memory, place)
        return _place(place, knocked[place.name], found, share, written[place.name], carried, used, long)

    return {
        "places": tuple(map(measured, places)),
        "effect": all_of_it,
        "reach": found.reach,
        "gates": gates_of(model),
        "silent": tuple(sorted(silent)),
        "asleep": tuple(sorted(asleep)),
        "zeros": tuple(zeros),
        "frozen": tuple(name for name, x in memory_parameters(model).items() if not x.requires_grad),
        "non_finite": tuple(dict.fromkeys(broken)),
        "padding": integrity.touched_by_padding(model, documents[0]),
        "shared": integrity.shared(output.memory, places),
        "misplaced": integrity.misplaced(model),
        "readings": integrity.compared_readings(model, documents),
        "idle_loss": found.idle_loss,
        "long_reading": long.segments,
    }


def _place(
    place: Place,
    knocked: Knockout,
    found: Gradients,
    share: float | None,
    written: float,
    carried: dict[str, float],
    used: Usage | None,
    long: Drift,
) -> PlaceLiveness:
    norms = long.norms[place.name]
    return PlaceLiveness(
        name=place.name,
        heard=place.heard,
        retains=place.memory.outlasts_a_segment(),
        written=written,
        effect=knocked.empty,
        foreign=knocked.foreign,
        attention=share,
        gradient=found.places[place.name],
        detached=found.detached[place.name],
        carried=carried.get(place.name),
        gradient_carried=found.carried.get(place.name),
        usage=used,
        later_usage=None if long.last.memory is None else usage(long.last.memory, place),
        norms=norms,
        growth=max((growth(long.segments, each) for each in norms.values()), default=0.0),
    )


def _influence(
    model: MemencModel, documents: Tensor, places: tuple[Place, ...], seed: int
) -> tuple[dict[str, Knockout], Effect, Gradients]:
    """What outputs owe to each place, and to all together, in numbers and in gradient."""
    return (
        knockout.knock_out(model, documents, places),
        knockout.effect_of_all(model, documents, places),
        gradients(model, documents, places, torch.Generator().manual_seed(seed)),
    )


def _zeros(model: MemencModel) -> dict[str, Tensor]:
    """Weights beside the backbone that are all zero and let nothing through; a bias or gate may well be zero."""
    parameters = {name: x for name, x in model.named_parameters() if not (".backbone." in name or name.endswith(GATES))}
    return {name.removeprefix("encoder."): x for name, x in parameters.items() if not bool(x.any())}


@contextmanager
def _roused(zeros: dict[str, Tensor], generator: torch.Generator) -> Iterator[None]:
    """With small random numbers instead: what then comes to life had only not been trained yet."""
    with torch.no_grad():
        for parameter in zeros.values():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter in zeros.values():
                parameter.zero_()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
