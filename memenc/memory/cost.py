"""What a memory costs: bytes of state per document and floating-point operations per segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from memenc.memory import LayerMemory, LayerSizes, SegmentGroup, WritePlan, build_memory
from memenc.memory.budget import state_bytes
from memenc_kernels import Line, memory_attention


@dataclass(frozen=True)
class Cost:
    """Of one layer's memory.

    Args:
        state_bytes: per document, in float32, before anything was read.
        flops_per_segment: of matrix products beyond those of the layer without memory, a multiplication and an addition
            counting as two; reading what is there and writing one segment. Row tokens cost the backbone more besides.
        parameters: numbers that are learned.
    """

    state_bytes: int
    flops_per_segment: int
    parameters: int


def cost_of(name: str, sizes: LayerSizes, options: dict[str, Any] | None = None, row_tokens: int = 0) -> Cost:
    """Cost of the design in a layer of these `sizes`, counted by running it without numbers.

    Args:
        name: of the design.
        sizes: of the layer.
        options: of the design.
        row_tokens: memory tokens beside every segment, for designs that write those.
    """
    with torch.device("meta"):
        memory = build_memory(name, sizes, options)
        with_memory = _flops(memory, row_tokens)
        without = _flops(build_memory("none", sizes), 0)
    parameters = sum(parameter.numel() for parameter in memory.parameters())
    return Cost(state_bytes(memory), with_memory - without, parameters)


@torch.no_grad()
def _flops(memory: LayerMemory, row_tokens: int) -> int:
    sizes = memory.sizes
    extra = _segments(sizes, row_tokens) if row_tokens else None
    segments = _segments(sizes, sizes.segment_length, extra)
    plan = WritePlan(torch.ones(1, 1, dtype=torch.bool), ("all",))
    state = memory.initial_state(1, segments.values)
    with FlopCounterMode(display=False) as counter:
        lines = [Line(line.head_keys, line.head_values) for line in memory.scan(state, segments, plan).lines]
        memory_attention(segments.queries[:, 0], segments.keys[:, 0], segments.values[:, 0], lines=lines)
    return counter.get_total_flops()


def _segments(sizes: LayerSizes, tokens: int, extra: SegmentGroup | None = None) -> SegmentGroup:
    keys = torch.empty(1, 1, sizes.key_value_heads, tokens, sizes.head_dim)
    return SegmentGroup(torch.empty(1, 1, sizes.heads, tokens, sizes.head_dim), keys, keys, extra)
