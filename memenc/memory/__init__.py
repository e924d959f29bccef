"""Memory designs by name. This table is the only list of them; `register_memory` adds those from outside."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memenc.memory.associative import AssociativeMemory, WrittenTokens
from memenc.memory.base import (
    LayerMemory,
    counter,
    empty,
    exact,
    newest_valid,
    require_positive,
    require_weight,
    start_of_bias,
)
from memenc.memory.composite import CompositeMemory
from memenc.memory.compressive import CompressiveMemory
from memenc.memory.gated import GatedMemory
from memenc.memory.linear import LinearMemory
from memenc.memory.moving_average import MovingAverageMemory
from memenc.memory.nearest import NearestMemory
from memenc.memory.none import NoMemory
from memenc.memory.outside import check_name, check_part, import_installed, installed_designs, source_of
from memenc.memory.parts.row_tokens import RowSizes, RowTokens, Standing
from memenc.memory.pinned import GlobalMemory
from memenc.memory.pyramid import PyramidMemory
from memenc.memory.summary import SummaryMemory, SummaryTokens
from memenc.memory.tokens import CarriedTokens, RecurrentTokens, VisibleTokens
from memenc.memory.values import (
    Added,
    Entries,
    Joined,
    LayerSizes,
    Mixed,
    Retrieved,
    Scanned,
    Segment,
    SegmentGroup,
    State,
    WritePlan,
)
from memenc.memory.windowed import WindowedMemory


@dataclass(frozen=True)
class Design:
    """What a name stands for.

    Args:
        layer: memory of every attention layer that has one.
        top: what is kept of the last layer's states, if that is another class.
        row: tokens that stand beside every segment, if the design has such.
        source: hash of its code where that is not memenc's own, None if it cannot be read.
    """

    layer: type[LayerMemory]
    top: type[LayerMemory] | None = None
    row: type[RowTokens] | None = None
    source: str | None = ""

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
OWN = frozenset(MEMORIES)


def register_memory(
    name: str, layer: type[LayerMemory], top: type[LayerMemory] | None = None, row: type[RowTokens] | None = None
) -> None:
    """Give a design of your own a name, by which models, commands and comparisons know it as they know memenc's own.

    Call it where the class is defined, so that importing that module is all it takes. A class that is defined anew, as
    in a notebook, takes its own place.

    Args:
        name: letters, digits, _ and -.
        layer: memory of every attention layer that has one.
        top: what is kept of the last layer's states, if that is another class.
        row: tokens that stand beside every segment, if the design has such.

    Raises:
        ValueError: a name that cannot be one or is in use, or a class that is no memory.
    """
    check_name(name)
    given = (("layer", layer, LayerMemory), ("top", top, LayerMemory), ("row", row, RowTokens))
    for field, part, kind in given:
        if part is not None or field == "layer":
            check_part(name, field, part, kind)
    there = _full_name(MEMORIES[name].layer) if name in MEMORIES else None
    if name in OWN or there not in (None, _full_name(layer)):
        raise ValueError(f"memory {name!r} is there already ({there}); choose another name")
    MEMORIES[name] = Design(layer, top, row, source_of([part for _, part, _ in given if part is not None]))


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def available_memories() -> tuple[str, ...]:
    """Names that `memory=` accepts: memenc's own, those that were registered, those of installed packages."""
    return tuple(dict.fromkeys((*MEMORIES, *installed_designs())))


def design_named(name: str) -> Design:
    """What a name stands for; the module of an installed package that registers it is imported now.

    Raises:
        ValueError: no such design.
    """
    if name not in MEMORIES and name in (installed := installed_designs()):
        import_installed(installed[name])
        if name not in MEMORIES:
            raise ValueError(
                f"{installed[name].value} does not register the memory {name!r} that its package announces: it must "
                f"call memenc.register_memory({name!r}, ...)"
            )
    if name not in MEMORIES:
        raise ValueError(
            f"unknown memory {name!r}; available: {', '.join(available_memories())}, and any two joined by +. If it is "
            "one of your own, first import the module that registers it (on the command line: --import MODULE)"
        )
    return MEMORIES[name]


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
    known = design_named(name).options
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
    "Added",
    "Design",
    "Entries",
    "Joined",
    "LayerMemory",
    "LayerSizes",
    "Mixed",
    "Retrieved",
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
    "counter",
    "design_named",
    "designs_of",
    "empty",
    "exact",
    "newest_valid",
    "register_memory",
    "require_positive",
    "require_weight",
    "start_of_bias",
]
