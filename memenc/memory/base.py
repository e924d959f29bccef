"""The contract of a memory design: what is kept, how it is read, what a segment writes.

``Mem = Update(keys and values of a segment, Mem before)``. A design is one final class in one file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from memenc.memory.parts.scan import scan_in_order
from memenc.memory.values import Entries, LayerSizes, Retrieved, Scanned, Segment, SegmentGroup, State, WritePlan

# What all entries of a fresh memory together weigh against the tokens of the segment that reads them.
START_SHARE = 0.05
# Parameters with these endings are gates: single numbers that must travel far, with a learning rate of their own.
GATES = ("_bias", "_logits")


class LayerMemory(nn.Module, ABC):
    """Memory of one attention layer: a function of its state alone, per document.

    A state has one size however much was read, except in designs that say that it grows.

    A design offers entries to attend to (`read`, with `positions`), or looks up by itself what a query wants
    (`retrieve`), or both. `write` receives full segments only; documents that end earlier keep their state, which the
    scan sees to.
    """

    # It writes memory tokens, which hold nothing of the segment before they have seen it in a layer below.
    needs_layer_below: ClassVar[bool] = False
    # Rows shorter than a segment, of short documents, are cut to a multiple of so many tokens.
    row_multiple: int = 1

    def __init__(self, sizes: LayerSizes) -> None:
        super().__init__()
        self.sizes = sizes

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a memory of this `size`, a whole number from 1 that its state grows with; none if it has one size.

        Args:
            sizes: of the layer.
            size: number of units, whatever they are for the design.
            options: already chosen; only what they leave open is set.
        """
        return {}

    def outlasts_a_segment(self) -> bool:
        """Whether a write keeps some of the state before it; False where one segment replaces everything."""
        return True

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> State:
        """State of `batch` documents of which nothing was read, in the type and on the device of `like`."""

    @abstractmethod
    def write(self, state: State, segment: Segment) -> State:
        """State after one more full segment; a new dictionary, the old tensors stay as they are."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Set parameters to their start: a learnable near no-op."""

    def read(self, state: State) -> Entries | None:
        """Entries the next segment sees, or None if there never are any."""
        return None

    def positions(self, device: torch.device) -> Tensor | None:
        """Position of every entry relative to the first token of the segment that reads, (entries,), negative."""
        return None

    def row_bias(self) -> Tensor | None:
        """Learned addition to the logits of the tokens beside the segment, (heads,); None hides them from it."""
        return None

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """What the memory looks up for unrotated queries (batch, heads, tokens, head_dim), in the order of joining."""
        return ()

    def auxiliary_loss(self, state: State, segment: Segment) -> Tensor | None:
        """Loss per document (batch,) for the write of this segment, if the design trains itself beside the task."""
        return None

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """Run along the segments of a group; a design that can do without the order of the segments overrides it."""
        return scan_in_order(self, state, segments, plan)


def empty(like: Tensor, *shape: int) -> Tensor:
    """Zeros of this shape in the type and on the device of `like`."""
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def exact(like: Tensor) -> Tensor:
    """What states are like that add up over a document: on the same device, in float32 at least."""
    return like.new_empty(0, dtype=torch.promote_types(like.dtype, torch.float32))


def counter(batch: int, like: Tensor) -> Tensor:
    """A zero per document, (batch,) int64."""
    return torch.zeros(batch, dtype=torch.long, device=like.device)


def newest_valid(filled: Tensor, entries: int) -> Tensor:
    """Validity of entries kept in order of age, newest last: (batch, entries) for `filled` (batch,) of them."""
    return torch.arange(entries, device=filled.device) >= entries - filled[:, None]


def start_of_bias(initial_bias: float | None, sizes: LayerSizes, entries: int) -> float:
    """Logit bias at which entries start: as asked for, full strength where order is seen, or else a small share.

    All entries together then weigh as much as 5 % of the segment's tokens: enough for gradient, too little to disturb
    a pre-trained encoder that never saw such keys (benchmarks/fresh_memory.py shows what other starts do).

    Raises:
        ValueError: no finite number.
    """
    if initial_bias is not None:
        number = isinstance(initial_bias, int | float) and not isinstance(initial_bias, bool)
        if not (number and math.isfinite(initial_bias)):
            raise ValueError(f"memory option initial_bias={initial_bias!r}: give a finite number")
        return float(initial_bias)
    return 0.0 if sizes.sees_order or sizes.pools else math.log(START_SHARE * sizes.segment_length / entries)


def require_positive(**values: int) -> None:
    """Raise ValueError naming the first option that is not a positive whole number."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"memory option {name}={value!r}: give a whole number of at least 1")


def require_weight(**values: float) -> None:
    """Raise ValueError naming the first option that is not a number of at least 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ValueError(f"memory option {name}={value!r}: give a number of at least 0")
