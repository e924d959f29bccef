"""Memory designs by name. This table is the only list of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from memenc.memory.base import LayerMemory
from memenc.memory.compressive import CompressiveMemory
from memenc.memory.moving_average import MovingAverageMemory
from memenc.memory.none import NoMemory
from memenc.memory.values import Entries, LayerSizes, Scanned, Segment, State, WritePlan
from memenc.memory.windowed import WindowedMemory

MEMORIES: dict[str, type[LayerMemory]] = {
    "none": NoMemory,
    "windowed": WindowedMemory,
    "moving_average": MovingAverageMemory,
    "compressive": CompressiveMemory,
}


def available_memories() -> tuple[str, ...]:
    """Names that `memory=` accepts."""
    return tuple(MEMORIES)


def build_memory(name: str, sizes: LayerSizes, options: Mapping[str, Any] | None = None) -> LayerMemory:
    """One layer's memory of the design `name`.

    Raises:
        ValueError: no such design, or an option that the design does not have or that does not fit.
    """
    if name not in MEMORIES:
        raise ValueError(f"unknown memory {name!r}; available: {', '.join(MEMORIES)}")
    design, options = MEMORIES[name], dict(options or {})
    known = [parameter for parameter in inspect.signature(design).parameters if parameter != "sizes"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"memory {name!r} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    return design(sizes, **options)


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
