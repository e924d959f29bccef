"""A row of the backbone: the segment, and the memory tokens that stand before and behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memenc_kernels import memory_attention


@dataclass(frozen=True)
class LayerCall:
    """One call of the attention function by the backbone: queries, keys, values (rows, heads, tokens, dim)."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    scaling: float | None
    dropout: float
    causal: bool
    sliding_window: int | None

    def at(self, places: Tensor | slice) -> LayerCall:
        """The same call for some of its tokens."""
        queries, keys, values = (x[:, :, places] for x in (self.queries, self.keys, self.values))
        return replace(self, queries=queries, keys=keys, values=values)

    def without_padding(self, valid: Tensor) -> LayerCall:
        """The same call with zeros where `valid` (rows, tokens) is false."""
        # A NaN at a padded place would pass any mask, as 0 * NaN; zeros do not.
        padded = ~valid[:, None, :, None]
        queries, keys, values = (x.masked_fill(padded, 0.0) for x in (self.queries, self.keys, self.values))
        return replace(self, queries=queries, keys=keys, values=values)


@dataclass(frozen=True)
class Row:
    """Where the memory tokens stand, and who sees whom.

    They see everything that a backbone of their kind lets them see. The segment sees them where a layer's memory has a
    bias for them, on a causal backbone those before it only; elsewhere it is read as if they were not there.

    Args:
        before: tokens before the segment.
        after: tokens behind it.
        valid: (rows, before + after).
        segment_length: of a full segment.
    """

    before: int
    after: int
    valid: Tensor
    segment_length: int

    def own(self, call: LayerCall) -> LayerCall:
        """The call for the segment's tokens."""
        return call.at(slice(self.before, call.keys.shape[2] - self.after))

    def beside(self, call: LayerCall) -> LayerCall:
        """The call for the memory tokens, padding taken out."""
        length = call.keys.shape[2]
        places = torch.arange(length, device=call.keys.device)
        kept = torch.cat([places[: self.before], places[length - self.after :]])
        return call.at(kept).without_padding(self.valid)

    def positions(self, device: torch.device) -> Tensor:
        """Positions of the memory tokens: those of the segment's first tokens and of its last, so that none is used up.

        Each has its own, as long as there are enough: tokens that stand alike become alike.
        """
        first, last = torch.arange(self.before, device=device), torch.arange(self.after, device=device)
        behind = (self.segment_length - self.after + last) % self.segment_length
        return torch.cat([first % self.segment_length, behind])

    def seen_by_segment(self, arguments: dict[str, Any], beside: LayerCall, bias: Tensor | None) -> dict[str, Any]:
        """Arguments of attention with the memory tokens among the entries, if there is a `bias` (heads,) for them."""
        count = self.before if beside.causal else self.before + self.after
        if bias is None or count == 0:
            return arguments
        tokens = _Entries.of(arguments, beside)
        tokens.add(beside.keys[:, :, :count], beside.values[:, :, :count], self.valid[:, :count], bias)
        return arguments | tokens.arguments()

    def attend(self, beside: LayerCall, own: LayerCall, arguments: dict[str, Any]) -> Tensor:
        """What the memory tokens find among entries, segment and each other, (rows, heads, before + after, dim)."""
        entries = _Entries.of(arguments, beside)
        valid = arguments["valid"]
        everything = _Entries.of(arguments, beside)
        valid = valid if valid is not None else torch.ones_like(own.keys[:, 0, :, 0], dtype=torch.bool)
        everything.add(own.keys, own.values, valid, None)
        if not beside.causal:
            return self._among(beside, self.valid, everything)
        first, last = slice(0, self.before), slice(self.before, None)
        everything.add(beside.keys[:, :, first], beside.values[:, :, first], self.valid[:, first], None)
        parts = [
            self._among(beside.at(part), self.valid[:, part], seen)
            for part, seen, count in ((first, entries, self.before), (last, everything, self.after))
            if count
        ]
        return torch.cat(parts, dim=2)

    def together(self, own: Tensor, beside: Tensor) -> Tensor:
        """Outputs of the whole row, in its order."""
        return torch.cat([beside[:, :, : self.before], own, beside[:, :, self.before :]], dim=2)

    def _among(self, beside: LayerCall, valid: Tensor, seen: _Entries) -> Tensor:
        arguments = seen.arguments()
        del arguments["memory_positions"]
        return memory_attention(
            beside.queries,
            beside.keys,
            beside.values,
            valid=valid,
            scaling=beside.scaling,
            dropout=beside.dropout,
            **arguments,
        )


class _Entries:
    """Memory entries of one attention call, to which others are added."""

    def __init__(self, keys: Tensor, values: Tensor, valid: Tensor, bias: Tensor | None, positions: Tensor) -> None:
        self.keys, self.values, self.valid, self.bias, self.positions = keys, values, valid, bias, positions

    @classmethod
    def of(cls, arguments: dict[str, Any], like: LayerCall) -> _Entries:
        if "memory_keys" in arguments:
            names = ("memory_keys", "memory_values", "memory_valid", "memory_bias", "memory_positions")
            return cls(*(arguments[name] for name in names))
        keys, values = like.keys[:, :, :0], like.values[:, :, :0]
        valid = torch.zeros(len(keys), 0, dtype=torch.bool, device=keys.device)
        return cls(keys, values, valid, None, torch.zeros(0, device=keys.device))

    def add(self, keys: Tensor, values: Tensor, valid: Tensor, bias: Tensor | None) -> None:
        """Put entries behind, seen from everywhere, with one `bias` (heads,) for all of them."""
        present, count = self.keys.shape[2], keys.shape[2]
        if bias is not None:
            before = bias.new_zeros(len(bias), present) if self.bias is None else self.bias
            self.bias = torch.cat([before, bias[:, None].expand(-1, count)], dim=1)
        elif self.bias is not None:
            self.bias = functional.pad(self.bias, (0, count))
        self.keys, self.values = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
        self.valid = torch.cat([self.valid, valid], dim=1)
        everywhere = torch.full((count,), torch.nan, device=keys.device)
        self.positions = torch.cat([self.positions.to(everywhere.dtype), everywhere])

    def arguments(self) -> dict[str, Any]:
        return {
            "memory_keys": self.keys,
            "memory_values": self.values,
            "memory_valid": self.valid,
            "memory_bias": self.bias,
            "memory_positions": self.positions,
        }
