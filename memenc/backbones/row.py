"""A row of the backbone: the segment, and the memory tokens that stand before and behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from einops import rearrange, repeat
from torch import Tensor

from memenc.memory.values import Joined, Retrieved
from memenc_kernels import Line, memory_attention

UNFOLD = "(batch segments) ... -> batch segments ..."


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

    @property
    def group(self) -> int:
        """Query heads that share one head of keys and values."""
        return self.queries.shape[1] // self.keys.shape[1]

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
        segments: of each document, among the rows.
        weight: (rows,) added to the logits with which the segment sees them, or None.
    """

    before: int
    after: int
    valid: Tensor
    segment_length: int
    segments: int
    weight: Tensor | None = None

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
        """Arguments of attention with the memory tokens among the lines, if there is a `bias` (heads,) for them."""
        count = self._seen(beside)
        if bias is None or count == 0 or self.weight is not None:
            return arguments
        tokens = self._line(beside.at(slice(count)), self.valid[:, :count], bias[:, None])
        return arguments | {"lines": (*arguments["lines"], tokens)}

    def looked_up(self, own: LayerCall, beside: LayerCall, bias: Tensor | None) -> tuple[Retrieved, ...]:
        """What the segment finds among memory tokens that weigh differently by document, which no line can say.

        It joins local attention in one softmax, as if they were a line.
        """
        count = self._seen(beside)
        if bias is None or count == 0 or self.weight is None:
            return ()
        keys, values = (
            repeat(x[:, :, :count], "rows groups tokens dim -> rows (groups heads) tokens dim", heads=own.group)
            for x in (beside.keys, beside.values)
        )
        scaling = own.queries.shape[-1] ** -0.5 if own.scaling is None else own.scaling
        logits = (own.queries @ keys.transpose(-1, -2) * scaling).to(torch.promote_types(keys.dtype, torch.float32))
        logits = logits + bias[:, None, None] + self.weight[:, None, None, None]
        there = self.valid[:, None, None, :count]
        # Without any there is nothing to divide by, and nothing that joins.
        logits = logits.masked_fill(~there, torch.finfo(logits.dtype).min)
        log_weight = logits.logsumexp(-1, keepdim=True).masked_fill(~there.any(-1, keepdim=True), -torch.inf)
        return (Joined(logits.softmax(-1).to(values.dtype) @ values, log_weight),)

    def _seen(self, beside: LayerCall) -> int:
        """How many memory tokens the segment may see: on a causal backbone those before it."""
        return self.before if beside.causal else self.before + self.after

    def attend(self, beside: LayerCall, own: LayerCall, arguments: dict[str, Any]) -> Tensor:
        """What the memory tokens find among entries, segment and each other, (rows, heads, before + after, dim)."""
        lines = arguments["lines"]
        everything = (*lines, self._line(own, arguments["valid"], None))
        if not beside.causal:
            return self._among(beside, self.valid, everything)
        first, last = slice(0, self.before), slice(self.before, None)
        everything = (*everything, self._line(beside.at(first), self.valid[:, first], None))
        parts = [
            self._among(beside.at(part), self.valid[:, part], seen)
            for part, seen, count in ((first, lines, self.before), (last, everything, self.after))
            if count
        ]
        return torch.cat(parts, dim=2)

    def together(self, own: Tensor, beside: Tensor) -> Tensor:
        """Outputs of the whole row, in its order."""
        return torch.cat([beside[:, :, : self.before], own, beside[:, :, self.before :]], dim=2)

    def _line(self, call: LayerCall, valid: Tensor | None, bias: Tensor | None) -> Line:
        """Tokens of the row as entries that this row alone sees, near to all."""
        keys, values, seen = (
            None if each is None else rearrange(each, UNFOLD, segments=self.segments)
            for each in (call.keys, call.values, valid)
        )
        return Line.of_rows(cast(Tensor, keys), cast(Tensor, values), seen, bias)

    def _among(self, beside: LayerCall, valid: Tensor, lines: tuple[Line, ...]) -> Tensor:
        return memory_attention(
            beside.queries,
            beside.keys,
            beside.values,
            lines=lines,
            valid=valid,
            scaling=beside.scaling,
            dropout=beside.dropout,
        )
