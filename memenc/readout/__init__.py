"""Readouts by name: how the final memory becomes one vector. This table is the only list of them."""

from __future__ import annotations

from memenc.readout.attention import AttentionReadout
from memenc.readout.base import FinalMemory, Readout
from memenc.readout.first import FirstReadout
from memenc.readout.last import LastReadout
from memenc.readout.max import MaxReadout
from memenc.readout.mean import MeanReadout
from memenc.readout.memory import MemoryReadout, attend_final_memory

READOUTS: dict[str, type[Readout]] = {
    "first": FirstReadout,
    "mean": MeanReadout,
    "max": MaxReadout,
    "last": LastReadout,
    "attention": AttentionReadout,
    "memory": MemoryReadout,
}


def build_readout(name: str, hidden: int, queries: int) -> Readout:
    """The readout of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in READOUTS:
        raise ValueError(f"unknown readout {name!r}; available: {', '.join(READOUTS)}")
    return READOUTS[name](hidden, queries)


__all__ = ["READOUTS", "FinalMemory", "Readout", "attend_final_memory", "build_readout"]
