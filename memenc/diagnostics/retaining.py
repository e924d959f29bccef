"""Which designs mean to hold more than the segment directly before."""

from __future__ import annotations

from memenc.memory import LayerMemory
from memenc.memory.associative import AssociativeMemory
from memenc.memory.compressive import CompressiveMemory
from memenc.memory.gated import GatedMemory
from memenc.memory.linear import LinearMemory
from memenc.memory.moving_average import MovingAverageMemory
from memenc.memory.nearest import NearestMemory
from memenc.memory.pinned import GlobalMemory
from memenc.memory.pyramid import PyramidMemory
from memenc.memory.summary import SummaryMemory
from memenc.memory.tokens import CarriedTokens
from memenc.memory.windowed import WindowedMemory


def retains(memory: LayerMemory) -> bool | None:
    """Whether a write is to keep some of the state before it; None for a design that is not listed here."""
    segment = memory.sizes.segment_length
    match memory:
        case WindowedMemory():
            return memory.window > segment
        case CompressiveMemory():
            return memory.window + memory.slots * memory.rate > segment
        case MovingAverageMemory():
            return memory.average == "cumulative" or memory.kept > 1
        case GlobalMemory():
            return memory.keep != "learned" or memory.window > segment
        case NearestMemory():
            return memory.entries is None or memory.entries > segment
        case SummaryMemory():
            return memory.bound is None or memory.bound > memory.tokens
        case GatedMemory() | LinearMemory() | AssociativeMemory() | PyramidMemory() | CarriedTokens():
            return True
        case _:
            return None
