"""Global memory: entries that stay for good beside a window that moves on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, newest_valid, require_positive, start_of_bias
from memenc.memory.values import Entries, LayerSizes, Segment, State

Pinned = Literal["first", "learned", "attended"]


@final
class GlobalMemory(LayerMemory):
    """Pinned entries beside a window: the document's first tokens, learned anchors, or what was attended to most.

    * first: attention sinks, Xiao et al. 2023 (arXiv:2309.17453). A token is pinned when it leaves the window.
    * learned: keys and values that are parameters, the same for every document: prefix tuning, Li and Liang 2021
      (arXiv:2101.00190).
    * attended: heavy hitters, after Zhang et al. 2023, H2O (arXiv:2306.14048), per head. When tokens leave the window,
      the newest segment's queries attend to them and to the pinned entries; the `pinned` entries with the largest mass
      in any one segment stay. The choice has no gradient, what is kept has.

    Args:
        sizes: of the layer.
        keep: first, learned or attended.
        pinned: pinned entries.
        window: entries of the window (tokens).
        initial_bias: start of the learned logit bias; None chooses (see `start_of_bias`).
    """

    def __init__(
        self,
        sizes: LayerSizes,
        keep: Pinned = "attended",
        pinned: int = 64,
        window: int = 512,
        initial_bias: float | None = None,
    ) -> None:
        super().__init__(sizes)
        require_positive(pinned=pinned, window=window)
        if keep not in get_args(Pinned):
            raise ValueError(f"memory option keep={keep!r}: choose one of {get_args(Pinned)}")
        self.keep, self.pinned, self.window = keep, pinned, window
        self.initial_bias = start_of_bias(initial_bias, sizes, pinned + window)
        self.pinned_bias = nn.Parameter(torch.empty(sizes.heads, pinned))
        self.window_bias = nn.Parameter(torch.empty(sizes.heads, 1))
        if keep == "learned":
            self.anchor_keys = nn.Parameter(torch.empty(sizes.key_value_heads, pinned, sizes.head_dim))
            self.anchor_values = nn.Parameter(torch.empty(sizes.key_value_heads, pinned, sizes.head_dim))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit; of nine, one is pinned."""
        pinned = max(1, (size + 1) // 9)
        return {"pinned": pinned, "window": size + 1 - pinned}

    def reset_parameters(self) -> None:
        """Entries start at the initial bias, anchors small and different from each other."""
        nn.init.constant_(self.pinned_bias, self.initial_bias)
        nn.init.constant_(self.window_bias, self.initial_bias)
        if self.keep == "learned":
            nn.init.normal_(self.anchor_keys, std=0.02)
            nn.init.normal_(self.anchor_values, std=0.02)

    def outlasts_a_segment(self) -> bool:
        """If something of the document is pinned, or the window is longer than a segment."""
        return self.keep != "learned" or self.window > self.sizes.segment_length

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing pinned, an empty window; anchors are parameters and no part of the state."""
        kept = self.window + (0 if self.keep == "learned" else self.pinned)
        shape = (batch, self.sizes.key_value_heads, kept, self.sizes.head_dim)
        state = {"keys": empty(like, *shape), "values": empty(like, *shape), "tokens": counter(batch, like)}
        if self.keep == "attended":
            state["mass"] = torch.full((*shape[:2], self.pinned), -1.0, dtype=like.dtype, device=like.device)
        return state

    def read(self, state: State) -> Entries:
        """Pinned entries, then the window."""
        tokens, keys, values = state["tokens"], state["keys"], state["values"]
        in_window = newest_valid(tokens.clamp(max=self.window), self.window)
        if self.keep == "learned":
            batch = len(keys)
            keys = torch.cat([self.anchor_keys.to(keys.dtype).expand(batch, -1, -1, -1), keys], dim=2)
            values = torch.cat([self.anchor_values.to(values.dtype).expand(batch, -1, -1, -1), values], dim=2)
            pinned = torch.ones_like(in_window[:, :1]).expand(-1, self.pinned)
        else:
            # Entries are pinned from the front; all heads have as many.
            left = (tokens - self.window).clamp(min=0)
            pinned = torch.arange(self.pinned, device=tokens.device) < left[:, None]
        return Entries(keys, values, torch.cat([pinned, in_window], dim=1), self.bias())

    def write(self, state: State, segment: Segment) -> State:
        """Append the segment to the window; some of what leaves it is pinned."""
        pinned_keys, window_keys, leaving_keys = self._push(state["keys"], segment.keys)
        pinned_values, window_values, leaving_values = self._push(state["values"], segment.values)
        tokens = state["tokens"] + segment.keys.shape[2]
        new = {"tokens": tokens}
        if self.keep == "first":
            place, fits = self._places(tokens, leaving_keys.shape[2])
            pinned_keys = torch.where(fits, leaving_keys.gather(2, place.expand_as(pinned_keys)), pinned_keys)
            pinned_values = torch.where(fits, leaving_values.gather(2, place.expand_as(pinned_values)), pinned_values)
        if self.keep == "attended":
            candidates = torch.cat([pinned_keys, leaving_keys], dim=2)
            mass = self._mass(candidates, state["mass"], tokens, segment.queries)
            new["mass"], chosen = mass.topk(self.pinned, dim=-1)
            index = chosen[..., None].expand(-1, -1, -1, candidates.shape[3])
            pinned_keys = candidates.gather(2, index)
            pinned_values = torch.cat([pinned_values, leaving_values], dim=2).gather(2, index)
        new["keys"] = torch.cat([pinned_keys, window_keys], dim=2)
        new["values"] = torch.cat([pinned_values, window_values], dim=2)
        return new

    def bias(self) -> Tensor:
        """One number per head and pinned entry, one per head for the window."""
        return torch.cat([self.pinned_bias, self.window_bias.expand(-1, self.window)], dim=1)

    def positions(self, device: torch.device) -> Tensor:
        """Pinned entries directly before the window, whatever their age: so far and no farther reaches the state."""
        return torch.arange(-self.window - self.pinned, 0, device=device)

    def _push(self, entries: Tensor, new: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pinned entries as they were, the window after `new`, and what leaves it."""
        kept = 0 if self.keep == "learned" else self.pinned
        line = torch.cat([entries[:, :, kept:], new], dim=2)
        return entries[:, :, :kept], line[:, :, new.shape[2] :], line[:, :, : new.shape[2]]

    def _places(self, tokens: Tensor, leaving: int) -> tuple[Tensor, Tensor]:
        """For every pinned place which leaving token belongs there, and whether one does, (batch, 1, pinned, 1)."""
        first = tokens - self.window - leaving  # number in the document of the first leaving token
        place = (torch.arange(self.pinned, device=tokens.device) - first[:, None])[:, None, :, None]
        return place.clamp(0, leaving - 1), (place >= 0) & (place < leaving)

    def _mass(self, candidates: Tensor, mass: Tensor, tokens: Tensor, queries: Tensor) -> Tensor:
        """Largest attention mass of pinned and leaving entries, (batch, heads, pinned + leaving); -1 for nothing."""
        leaving = candidates.shape[2] - self.pinned
        there = newest_valid((tokens - self.window).clamp(0, leaving), leaving)[:, None].expand(-1, mass.shape[1], -1)
        valid = torch.cat([mass >= 0, there], dim=2)
        group = "batch (groups heads) tokens dim -> batch groups heads tokens dim"
        grouped = rearrange(queries.to(candidates.dtype), group, groups=mass.shape[1])
        with torch.no_grad():
            logits = grouped @ candidates[:, :, None].transpose(-1, -2) * self.sizes.scale
            # Documents of which nothing leaves yet would take the softmax of nothing.
            seen = (valid | ~valid.any(2, keepdim=True))[:, :, None, None]
            weights = logits.masked_fill(~seen, -torch.inf).softmax(-1)
            newest = reduce(weights, "batch groups heads tokens entries -> batch groups entries", "mean")
            before = torch.cat([mass, torch.full_like(newest[:, :, self.pinned :], -1.0)], dim=2)
            return torch.where(valid, newest.maximum(before), -1.0)
