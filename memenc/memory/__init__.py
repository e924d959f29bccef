"""Memory designs by name. This table is the only list of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memenc.memory.associative import AssociativeMemory, WrittenTokens
from memenc.memory.base import LayerMemory
from memenc.memory.composite import CompositeMemory
from memenc.memory.compressive import CompressiveMemory
from memenc.memory.gated import GatedMemory
from memenc.memory.linear import LinearMemory
from memenc.memory.moving_average import MovingAverageMemory
from memenc.memory.nearest import NearestMemory
from memenc.memory.none import NoMemory
from memenc.memory.pinned import GlobalMemory
from memenc.memory.pyramid import PyramidMemory
from memenc.memory.row_tokens import RowSizes, RowTokens, Standing
from memenc.memory.summary import SummaryMemory, SummaryTokens
from memenc.memory.tokens import CarriedTokens, RecurrentTokens, VisibleTokens
from memenc.memory.values import Entries, LayerSizes, Scanned, Segment, SegmentGroup, State, WritePlan
from memenc.memory.windowed import WindowedMemory


@dataclass(frozen=True)
class Design:
    """What a name stands for.

    Args:
        layer: memory of every attention layer that has one.
        top: what is kept of the last layer's states, if that is another class.
        row: tokens that stand beside every segment, if the design has such.
    """

    layer: type[LayerMemory]
    top: type[LayerMemory] | None = None
    row: type[RowTokens] | None = None

    def options_of(self, part: type | None) -> list[str]:
        """Names of the options that one of the three takes."""
        return [] if part is None else [name for name in inspect.signature(part).parameters if name != "sizes"]

    @property
    def options(self) -> list[str]:
        """Names of all options."""
        return list(dict.fromkeys(name for part in (self.layer, self.top, self.row) for name in self.options_of(part)))


MEMORIES: dict[str, Design] = {
    "none": Design(NoMemory),
    "windowed": Design(WindowedMemory),
    "moving_average": Design(MovingAverageMemory),
    "compressive": Design(CompressiveMemory),
    "pyramid": Design(PyramidMemory),
    "global": Design(GlobalMemory),
    "nearest": Design(NearestMemory),
    "linear": Design(LinearMemory),
    "gated": Design(GatedMemory),
    "tokens": Design(VisibleTokens, top=CarriedTokens, row=RecurrentTokens),
    "summary": Design(VisibleTokens, top=SummaryMemory, row=SummaryTokens),
    "associative": Design(AssociativeMemory, row=WrittenTokens),
}


def available_memories() -> tuple[str, ...]:
    """Names that `memory=` accepts."""
    return tuple(MEMORIES)


def build_memory(name: str, sizes: LayerSizes, options: Mapping[str, Any] | None = None) -> LayerMemory:
    """One layer's memory of the design `name`, or of several: ``"windowed+linear"``, with options by design.

    Raises:
        ValueError: no such design, or an option that the design does not have or that does not fit.
    """
    parts = designs_of(name, options)
    built = {part: _build_part(MEMORIES[part], sizes, given) for part, given in parts.items()}
    return built[name] if name in built else CompositeMemory(sizes, built)


def build_row_tokens(
    name: str, sizes: RowSizes, options: Mapping[str, Any] | None = None
) -> tuple[RowTokens, str] | None:
    """Row tokens of the design, and the prefix of its state over the top layer; None if it has none.

    Raises:
        ValueError: two designs of a composition have such tokens.
    """
    found = [(part, given) for part, given in designs_of(name, options).items() if MEMORIES[part].row is not None]
    if len(found) > 1:
        raise ValueError(f"memory {name!r}: only one design of a composition can have tokens in the rows")
    for part, given in found:
        design = MEMORIES[part]
        assert design.row is not None
        tokens = design.row(sizes, **_taken(given, design.options_of(design.row)))
        return tokens, "" if part == name else f"{part}."
    return None


def designs_of(name: str, options: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The designs in a name with their options.

    Raises:
        ValueError: a name or an option that does not exist.
    """
    options = dict(options or {})
    parts = name.split("+")
    if len(parts) == 1:
        return {name: _known(name, options)}
    if len(set(parts)) < len(parts):
        raise ValueError(f"memory {name!r} names a design twice")
    unknown = sorted(set(options) - set(parts))
    if unknown:
        raise ValueError(
            f"memory {name!r} takes options by design, such as {{{parts[0]!r}: {{...}}}}; received {', '.join(unknown)}"
        )
    return {part: _known(part, dict(options.get(part) or {})) for part in parts}


def _known(name: str, options: dict[str, Any]) -> dict[str, Any]:
    if name not in MEMORIES:
        raise ValueError(f"unknown memory {name!r}; available: {', '.join(MEMORIES)}, and several joined by +")
    known = MEMORIES[name].options
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"memory {name!r} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    return options


def _build_part(design: Design, sizes: LayerSizes, options: dict[str, Any]) -> LayerMemory:
    part = design.top if sizes.pools and design.top is not None else design.layer
    part = NoMemory if part.needs_layer_below and sizes.first else part
    return part(sizes, **_taken(options, design.options_of(part)))


def _taken(options: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


__all__ = [
    "MEMORIES",
    "Design",
    "Entries",
    "LayerMemory",
    "LayerSizes",
    "RowSizes",
    "RowTokens",
    "Scanned",
    "Segment",
    "SegmentGroup",
    "Standing",
    "State",
    "WritePlan",
    "available_memories",
    "build_memory",
    "build_row_tokens",
    "designs_of",
]
