"""Memory designs by name. This table is the only list of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

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
from memenc.memory.values import Entries, LayerSizes, Scanned, Segment, State, WritePlan
from memenc.memory.windowed import WindowedMemory

MEMORIES: dict[str, type[LayerMemory]] = {
    "none": NoMemory,
    "windowed": WindowedMemory,
    "moving_average": MovingAverageMemory,
    "compressive": CompressiveMemory,
    "pyramid": PyramidMemory,
    "global": GlobalMemory,
    "nearest": NearestMemory,
    "linear": LinearMemory,
    "gated": GatedMemory,
}


def available_memories() -> tuple[str, ...]:
    """Names that `memory=` accepts."""
    return tuple(MEMORIES)


def build_memory(name: str, sizes: LayerSizes, options: Mapping[str, Any] | None = None) -> LayerMemory:
    """One layer's memory of the design `name`, or of several: ``"windowed+linear"``, with options by design.

    Raises:
        ValueError: no such design, or an option that the design does not have or that does not fit.
    """
    options = dict(options or {})
    if "+" in name:
        return _compose(name, sizes, options)
    if name not in MEMORIES:
        raise ValueError(f"unknown memory {name!r}; available: {', '.join(MEMORIES)}, and any two joined by +")
    design = MEMORIES[name]
    known = [parameter for parameter in inspect.signature(design).parameters if parameter != "sizes"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"memory {name!r} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    return design(sizes, **options)


def _compose(name: str, sizes: LayerSizes, options: dict[str, Any]) -> CompositeMemory:
    parts = name.split("+")
    if len(set(parts)) < len(parts):
        raise ValueError(f"memory {name!r} names a design twice")
    unknown = sorted(set(options) - set(parts))
    if unknown:
        raise ValueError(
            f"memory {name!r} takes options by design, such as {{{parts[0]!r}: {{...}}}}; received {', '.join(unknown)}"
        )
    return CompositeMemory(sizes, {part: build_memory(part, sizes, options.get(part)) for part in parts})


__all__ = [
    "MEMORIES",
    "Entries",
    "LayerMemory",
    "LayerSizes",
    "Scanned",
    "Segment",
    "State",
    "WritePlan",
    "available_memories",
    "build_memory",
]
