"""Nearest memory: an exact archive of keys and values, of which every query reads the few that fit it best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from einops import rearrange
from torch import Tensor, nn

from memenc.memory.archive import append, archived, filled_after
from memenc.memory.base import LayerMemory, counter, empty, require_positive
from memenc.memory.linear import start_of_share
from memenc.memory.values import Joined, LayerSizes, Mixed, Retrieved, Segment, State

Join = Literal["gate", "softmax"]

# Entries compared with all queries at once: bounds the memory of a search, whatever the archive's size.
BLOCK = 8_192


@final
class NearestMemory(LayerMemory):
    """Every query reads the `nearest` archived keys with the largest inner products, per head, exactly.

    What it reads is mixed with local attention by a learned share per head (gate), or joins it in one softmax with a
    learned bias (softmax). The archive grows with the document, the one state beside `summary`'s that does; `entries`
    bounds it, the oldest go first. The search is exact, block by block; only what is read gets gradient.

    Source: Wu et al. 2022, Memorizing Transformers (arXiv:2203.08913).

    Args:
        sizes: of the layer.
        nearest: entries that a query reads.
        entries: entries (tokens) kept at most, None for all.
        join: gate or softmax.
        initial_share: start of the gate, in (0, 1), None chooses; with softmax the archive starts at full strength.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        nearest: int = 32,
        entries: int | None = None,
        join: Join = "gate",
        initial_share: float | None = None,
    ) -> None:
        super().__init__(sizes)
        require_positive(nearest=nearest)
        if entries is not None:
            require_positive(entries=entries)
        if join not in get_args(Join):
            raise ValueError(f"memory option join={join!r}: choose one of {get_args(Join)}")
        self.nearest, self.entries, self.join = nearest, entries, join
        self.initial_logit = start_of_share(initial_share, sizes)
        self.gate_logits = nn.Parameter(torch.empty(sizes.heads)) if join == "gate" else None
        self.archive_bias = nn.Parameter(torch.empty(sizes.heads)) if join == "softmax" else None
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit, which bounds the archive."""
        return {"entries": size}

    def reset_parameters(self) -> None:
        """Every head starts with the same share, or bias."""
        if self.gate_logits is not None:
            nn.init.constant_(self.gate_logits, self.initial_logit)
        if self.archive_bias is not None:
            full = self.sizes.sees_order or self.sizes.pools
            nn.init.constant_(self.archive_bias, 0.0 if full else self.initial_logit)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """An archive without entries, or with room for all that it may hold."""
        shape = (batch, self.sizes.key_value_heads, self.entries or 0, self.sizes.head_dim)
        return {"keys": empty(like, *shape), "values": empty(like, *shape), "filled": counter(batch, like)}

    def write(self, state: State, segment: Segment) -> State:
        """Append the segment; in a bounded archive the oldest make room."""
        filled = state["filled"]
        return {
            "keys": append(state["keys"], segment.keys, filled, self.entries),
            "values": append(state["values"], segment.values, filled, self.entries),
            "filled": filled_after(filled, segment.keys.shape[2], self.entries),
        }

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """Attention over the nearest entries of each query."""
        keys, values = state["keys"], state["values"]
        valid = archived(keys, state["filled"], self.entries)
        together = "batch (groups heads) tokens dim -> batch groups (heads tokens) dim"
        scaled = rearrange(queries.to(keys.dtype), together, groups=keys.shape[1]) * self.sizes.head_dim**-0.5
        logits, found = nearest_entries(scaled, keys, values, valid, self.nearest)
        apart = "batch groups (heads tokens) ... -> batch (groups heads) tokens ..."
        logits, found = (rearrange(x, apart, tokens=queries.shape[2]) for x in (logits, found))
        anything = valid.any(1)[:, None, None, None]
        weights = logits.masked_fill(~anything, 0.0).softmax(-1)
        read = (weights[..., None, :] @ found).squeeze(-2)
        if self.archive_bias is None:
            return (Mixed(read, self._share() * anything),)
        log_weight = logits.masked_fill(~anything, 0.0).logsumexp(-1, keepdim=True) + self.archive_bias[:, None, None]
        return (Joined(read, log_weight.masked_fill(~anything, -torch.inf)),)

    def _share(self) -> Tensor:
        assert self.gate_logits is not None
        return self.gate_logits.sigmoid()[:, None, None]


def nearest_entries(queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Logits (batch, heads, tokens, count) and values (..., count, dim) of the entries with the largest inner products.

    Entries that are not `valid` (batch, entries) have the logit -inf, also where there are fewer than `count`.
    """
    best_logits = queries.new_full((*queries.shape[:3], 0), -torch.inf)
    best = torch.zeros_like(best_logits, dtype=torch.long)
    with torch.no_grad():
        for start in range(0, keys.shape[2], BLOCK):
            block = keys[:, :, start : start + BLOCK]
            logits = queries @ block.transpose(-1, -2)
            logits = logits.masked_fill(~valid[:, None, None, start : start + BLOCK], -torch.inf)
            index = torch.arange(start, start + block.shape[2], device=keys.device).expand_as(logits)
            best_logits, best = torch.cat([best_logits, logits], -1), torch.cat([best, index], -1)
            best_logits, chosen = best_logits.topk(min(count, best_logits.shape[-1]), dim=-1)
            best = best.gather(-1, chosen)
    if best.shape[-1] == 0:
        # Nothing archived: one entry of zeros that nobody weighs.
        one = (*queries.shape[:3], 1)
        return best_logits.new_full(one, -torch.inf), values.new_zeros(*one, values.shape[3])
    chosen_keys, chosen_values = _pick(keys, best), _pick(values, best)
    logits = (chosen_keys @ queries[..., None]).squeeze(-1)
    return logits.masked_fill(best_logits == -torch.inf, -torch.inf), chosen_values


def _pick(entries: Tensor, index: Tensor) -> Tensor:
    """Entries (batch, heads, entries, dim) at `index` (batch, heads, tokens, count), which gives (..., count, dim)."""
    flat = index.flatten(2)[..., None].expand(-1, -1, -1, entries.shape[3])
    return entries.gather(2, flat).unflatten(2, index.shape[2:])
