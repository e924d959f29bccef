"""Windowed memory: the last keys and values, as they were (Transformer-XL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, newest_valid, require_positive, start_of_bias
from memenc.memory.parts.scan import after_line, detached, line_of_window, scan_in_order
from memenc.memory.values import Entries, LayerSizes, Scanned, Segment, SegmentGroup, State, WritePlan


@final
class WindowedMemory(LayerMemory):
    """Keys and values of the last `window` tokens: first in, first out.

    Source: Dai et al. 2019, Transformer-XL (arXiv:1901.02860), here per attention layer, gradient not cut.

    Args:
        sizes: of the layer.
        window: entries kept (tokens).
        initial_bias: start of the learned logit bias per head; None chooses (see `start_of_bias`).
    """

    def __init__(self, sizes: LayerSizes, window: int = 512, initial_bias: float | None = None) -> None:
        super().__init__(sizes)
        require_positive(window=window)
        self.window = window
        self.initial_bias = start_of_bias(initial_bias, sizes, window)
        self.window_bias = nn.Parameter(torch.empty(sizes.heads))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit."""
        return {"window": size}

    def reset_parameters(self) -> None:
        """Entries start at the initial bias."""
        nn.init.constant_(self.window_bias, self.initial_bias)

    def outlasts_a_segment(self) -> bool:
        """If the window is longer than a segment."""
        return self.window > self.sizes.segment_length

    def initial_state(self, batch: int, like: Tensor) -> State:
        """An empty window, newest entry last."""
        shape = (batch, self.sizes.key_value_heads, self.window, self.sizes.head_dim)
        return {"keys": empty(like, *shape), "values": empty(like, *shape), "filled": counter(batch, like)}

    def read(self, state: State) -> Entries:
        """All entries of the window."""
        return Entries(state["keys"], state["values"], newest_valid(state["filled"], self.window), self.bias())

    def write(self, state: State, segment: Segment) -> State:
        """Append the segment, drop what is older than the window."""
        length = segment.keys.shape[2]
        return {
            "keys": torch.cat([state["keys"], segment.keys], dim=2)[:, :, -self.window :],
            "values": torch.cat([state["values"], segment.values], dim=2)[:, :, -self.window :],
            "filled": (state["filled"] + length).clamp(max=self.window),
        }

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """The windows of a group are views of one line: what was kept, and the group's own tokens."""
        if not plan.is_one_line():
            return scan_in_order(self, state, segments, plan)
        state = detached(state) if plan.cuts(0) else state
        length = segments.values.shape[3]
        filled = (state["filled"][:, None] + length * plan.written_before()).clamp(max=self.window)
        positions = self.positions(segments.values.device)
        line = line_of_window(self.read(state), segments, filled, positions)
        keys, values = after_line(line, plan)
        written = state["filled"] + length * plan.complete.sum(1)
        return Scanned((line,), (), {"keys": keys, "values": values, "filled": written.clamp(max=self.window)})

    def bias(self) -> Tensor:
        """One number per head for the whole window."""
        return self.window_bias[:, None].expand(-1, self.window)

    def positions(self, device: torch.device) -> Tensor:
        """The window lies directly before the segment."""
        return torch.arange(-self.window, 0, device=device)
