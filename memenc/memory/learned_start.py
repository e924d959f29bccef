"""Learned initial state: a document begins as if a learned segment had been read before it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from memenc.memory.base import LayerMemory
from memenc.memory.values import Entries, Retrieved, Scanned, Segment, SegmentGroup, State, WritePlan


@final
class LearnedStart(LayerMemory):
    """Any memory, its first write being learned keys and values of one segment.

    With a memory of keys and values, training only this is prefix tuning whose prefix moves on like any segment: Li and
    Liang 2021 (arXiv:2101.00190). A prefix that stays is `global` with ``keep="learned"``.

    Args:
        memory: any design.
    """

    def __init__(self, memory: LayerMemory) -> None:
        super().__init__(memory.sizes)
        self.memory = memory
        sizes = memory.sizes
        shape = (sizes.key_value_heads, sizes.segment_length, sizes.head_dim)
        self.start_keys = nn.Parameter(torch.empty(shape))
        self.start_values = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small keys and values; the memory inside, which may be trained, is left to itself."""
        nn.init.normal_(self.start_keys, std=0.02)
        nn.init.normal_(self.start_values, std=0.02)

    def outlasts_a_segment(self) -> bool:
        """As the memory does."""
        return self.memory.outlasts_a_segment()

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state after the learned segment."""
        keys, values = (x.to(like.dtype).expand(batch, -1, -1, -1) for x in (self.start_keys, self.start_values))
        queries = keys.repeat_interleave(self.sizes.heads // self.sizes.key_value_heads, dim=1)
        # Designs that write memory tokens take the whole learned segment for them.
        segment = Segment(queries, keys, values, Segment(queries, keys, values))
        return self.memory.write(self.memory.initial_state(batch, like), segment)

    def write(self, state: State, segment: Segment) -> State:
        """As the memory writes."""
        return self.memory.write(state, segment)

    def read(self, state: State) -> Entries | None:
        """As the memory reads."""
        return self.memory.read(state)

    def positions(self, device: torch.device) -> Tensor | None:
        """Those of the memory."""
        return self.memory.positions(device)

    def row_bias(self) -> Tensor | None:
        """That of the memory."""
        return self.memory.row_bias()

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """As the memory retrieves."""
        return self.memory.retrieve(state, queries)

    def auxiliary_loss(self, state: State, segment: Segment) -> Tensor | None:
        """That of the memory."""
        return self.memory.auxiliary_loss(state, segment)

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """As the memory runs along a group."""
        return self.memory.scan(state, segments, plan)
