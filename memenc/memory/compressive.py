"""Compressive memory: a window of recent keys and values, and slots that hold older ones compressed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory.base import (
    LayerMemory,
    counter,
    empty,
    newest_valid,
    require_positive,
    require_weight,
    start_of_bias,
)
from memenc.memory.parts.compression import Compression, Compressor
from memenc.memory.parts.scan import after_line, detached, line_of_window, scan_in_order
from memenc.memory.values import Entries, LayerSizes, Scanned, Segment, SegmentGroup, State, WritePlan


@final
class CompressiveMemory(LayerMemory):
    """What leaves the window is compressed `rate` to one into slots, first in, first out; slots know their age.

    Source: Rae et al. 2019, Compressive Transformer (arXiv:1911.05507).

    Args:
        sizes: of the layer.
        window: entries kept as they were (tokens), 0 for none; a multiple of `rate`.
        slots: compressed entries.
        rate: tokens per slot; must divide the segment length too.
        compression: mean, max, convolution or learned_query.
        reconstruction_weight: weight of the attention-reconstruction loss, which trains only the compression.
        initial_bias: start of the learned logit bias; None chooses (see `start_of_bias`).
    """

    def __init__(
        self,
        sizes: LayerSizes,
        window: int = 512,
        slots: int = 128,
        rate: int = 4,
        compression: Compression = "mean",
        reconstruction_weight: float = 0.0,
        initial_bias: float | None = None,
    ) -> None:
        super().__init__(sizes)
        require_positive(slots=slots, rate=rate)
        if not isinstance(window, int) or window < 0:
            raise ValueError(f"memory option window={window!r}: give a whole number of at least 0")
        if window % rate or sizes.segment_length % rate:
            raise ValueError(
                f"rate={rate} must divide both window={window} and the segment length of {sizes.segment_length} "
                f"tokens; a window of {window - window % rate} or another rate would fit"
            )
        self.window, self.slots, self.rate = window, slots, rate
        self.row_multiple = rate
        require_weight(reconstruction_weight=reconstruction_weight)
        self.reconstruction_weight = reconstruction_weight
        self.initial_bias = start_of_bias(initial_bias, sizes, window + slots)
        self.compressor = Compressor(compression, rate, sizes.key_value_heads, sizes.head_dim)
        self.window_bias = nn.Parameter(torch.empty(sizes.heads, 1)) if window else None
        self.slot_bias = nn.Parameter(torch.empty(sizes.heads, slots))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit, about four times as many in the window as slots; the rate divides the window."""
        rate = int(options.get("rate", 4))
        window = max(1, (size + rate) * 4 // 5 // rate) * rate
        return {"window": window, "slots": size + rate - window}

    def reset_parameters(self) -> None:
        """Compression starts as the mean (maximum for max); all entries start at the initial bias."""
        if self.window_bias is not None:
            nn.init.constant_(self.window_bias, self.initial_bias)
        nn.init.constant_(self.slot_bias, self.initial_bias)
        self.compressor.reset_parameters()

    def outlasts_a_segment(self) -> bool:
        """If window and slots stand for more than a segment."""
        return self.window + self.slots * self.rate > self.sizes.segment_length

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Empty slots and an empty window, newest entries last."""
        heads, dim = self.sizes.key_value_heads, self.sizes.head_dim
        entries = self.slots + self.window
        return {
            "keys": empty(like, batch, heads, entries, dim),
            "values": empty(like, batch, heads, entries, dim),
            "tokens": counter(batch, like),
        }

    def read(self, state: State) -> Entries:
        """Slots, oldest first, then the window."""
        in_slots, in_window = self._filled(state["tokens"])
        valid = [newest_valid(in_slots, self.slots), newest_valid(in_window, self.window)]
        return Entries(state["keys"], state["values"], torch.cat(valid, dim=1), self.bias())

    def write(self, state: State, segment: Segment) -> State:
        """Append the segment to the window, compress what leaves it, append that to the slots."""
        keys, leaving_keys = self._push(state["keys"], segment.keys)
        values, leaving_values = self._push(state["values"], segment.values)
        new_keys, new_values = self.compressor(leaving_keys, leaving_values)
        return {
            "keys": self._join(state["keys"], new_keys, keys),
            "values": self._join(state["values"], new_values, values),
            "tokens": state["tokens"] + segment.keys.shape[2],
        }

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """Slots and windows of a group are views of two lines, and all of its slots are compressed at once."""
        if not plan.is_one_line() or (self.training and self.reconstruction_weight):
            return scan_in_order(self, state, segments, plan)
        state = detached(state) if plan.cuts(0) else state
        length, read, positions = segments.values.shape[3], self.read(state), self.positions(segments.values.device)
        parts = (slice(None, self.slots), slice(self.slots, None))
        before = state["tokens"][:, None] + length * plan.written_before()
        appended = (self._compressed(read, segments), segments)
        lines = tuple(
            line_of_window(_part(read, part), new, filled, positions[part])
            for part, new, filled in zip(parts, appended, self._filled(before), strict=True)
            if positions[part].numel()
        )
        keys, values = (
            torch.cat(each, dim=2) for each in zip(*[after_line(line, plan) for line in lines], strict=True)
        )
        written = state["tokens"] + length * plan.complete.sum(1)
        return Scanned(lines, (), {"keys": keys, "values": values, "tokens": written})

    def bias(self) -> Tensor:
        """One number per head and slot, which is its age, and one per head for the window."""
        if self.window_bias is None:
            return self.slot_bias
        return torch.cat([self.slot_bias, self.window_bias.expand(-1, self.window)], dim=1)

    def positions(self, device: torch.device) -> Tensor:
        """The window lies directly before the segment, and before it each slot at the middle of its tokens."""
        age = torch.arange(self.slots - 1, -1, -1, device=device)
        slots = -self.window - self.rate * age - (self.rate + 1) / 2
        return torch.cat([slots, torch.arange(-self.window, 0, device=device).to(slots.dtype)])

    def auxiliary_loss(self, state: State, segment: Segment) -> Tensor | None:
        """Attention of the segment over what leaves the window must survive its compression (mean squared error).

        All inputs are cut off from the graph: the loss trains the compression and nothing below it.
        """
        if not self.reconstruction_weight:
            return None
        keys = self._push(state["keys"], segment.keys)[1].detach()
        values = self._push(state["values"], segment.values)[1].detach()
        short_keys, short_values = self.compressor(keys, values)
        queries = segment.queries.detach()
        grouped = self.sizes.heads != self.sizes.key_value_heads
        attend = partial(functional.scaled_dot_product_attention, scale=self.sizes.scale, enable_gqa=grouped)
        wanted, got = attend(queries, keys, values), attend(queries, short_keys, short_values)
        error = (got - wanted).square().mean((1, 2, 3))
        full = state["tokens"] >= self.window
        return self.reconstruction_weight * torch.where(full, error, 0.0)

    def _filled(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """How many slots and how many places of the window hold something after so many tokens."""
        in_slots = ((tokens - self.window).clamp(min=0) // self.rate).clamp(max=self.slots)
        return in_slots, tokens.clamp(max=self.window)

    def _compressed(self, read: Entries, segments: SegmentGroup) -> Entries:
        """The slots that each segment of a group appends, (batch, segments, heads, slots, dim)."""
        batch, count = segments.values.shape[:2]
        window = self.compressor(read.keys[:, :, self.slots :], read.values[:, :, self.slots :])
        fold = "batch segments heads tokens dim -> (batch segments) heads tokens dim"
        keys, values = rearrange(segments.rotated_keys, fold), rearrange(segments.values, fold)
        tokens = self.compressor(keys, values, segments.rotation)
        keys, values = (
            _appended(old, rearrange(new, "(batch segments) ... -> batch segments ...", batch=batch), count)
            for old, new in zip(window, tokens, strict=True)
        )
        return Entries(keys, values, read.valid)

    def _push(self, entries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Window after the segment, and the tokens that leave it: as many as came in."""
        window, leaving = entries[:, :, self.slots :], tokens.shape[2]
        if self.window == leaving:
            return tokens, window
        line = torch.cat([window, tokens], dim=2)
        return line[:, :, leaving:], line[:, :, :leaving]

    def _join(self, entries: Tensor, new: Tensor, window: Tensor) -> Tensor:
        """Slots with the new ones behind the old, as many as there are, then the window."""
        kept = entries[:, :, min(new.shape[2], self.slots) : self.slots]
        return torch.cat([kept, new[:, :, -self.slots :], window], dim=2)


def _part(read: Entries, part: slice) -> Entries:
    bias = None if read.bias is None else read.bias[:, part]
    return Entries(read.keys[:, :, part], read.values[:, :, part], read.valid[:, part], bias)


def _appended(window: Tensor, tokens: Tensor, count: int) -> Tensor:
    """Of compressed window and tokens (batch, segments, heads, slots, dim), what each segment pushes out."""
    slots = tokens.shape[3]
    if window.shape[2] == slots:
        return torch.cat([window[:, None], tokens[:, : count - 1]], dim=1)
    line = torch.cat([window, *tokens.unbind(1)], dim=2)[:, :, : count * slots]
    return rearrange(line, "batch heads (segments slots) dim -> batch segments heads slots dim", segments=count)
