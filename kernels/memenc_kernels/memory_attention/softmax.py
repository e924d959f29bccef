"""The softmax of the reference: torch's fused attention, or products head by head where a CPU is faster so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from memenc_kernels import products


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float, dropout: float
) -> Tensor:
    """``softmax(q k^T * scaling + mask) v`` for every row and head.

    Args:
        queries: (rows, heads, tokens, dim).
        keys: (rows, heads, entries, dim).
        values: like keys.
        mask: broadcastable to (rows, heads, tokens, entries): bool (what may be seen) or added to the logits; None if
            everything may be seen.
        scaling: of the logits.
        dropout: share of attention weights set to zero.
    """
    if _head_by_head(queries, keys, values, mask, dropout):
        added = None if mask is None else _added(mask, queries.dtype)
        return cast(Tensor, _HeadByHead.apply(queries, keys, values, added, scaling))
    expanded = None
    if mask is not None:
        # Expanded without copies: a mask with stride 0 keeps the fast path, a materialised one costs twice the time.
        # Torch would turn a boolean one into numbers after the expansion, which materialises it.
        shape = (*queries.shape[:3], keys.shape[2])
        expanded = _added(mask, queries.dtype).expand(shape)
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=expanded, dropout_p=dropout, scale=scaling
    )


def _head_by_head(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Whether products are faster: measured on one and two threads, with all tokens under the same mask."""
    alike = mask is None or (mask.shape[-2] == 1 and not mask.requires_grad)
    multiplications = queries.shape[2] * keys.shape[2] * queries.shape[3]
    # Threads are counted last: torch.compile breaks its graph there, and has fallen out before.
    worthwhile = dropout == 0 and products.worthwhile((queries, keys, values), multiplications)
    return alike and worthwhile and torch.get_num_threads() <= 2


class _HeadByHead(torch.autograd.Function):
    """Weights are not kept for the way back but computed again, as in FlashAttention (Dao et al. 2022)."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
        ctx.save_for_backward(queries, keys, values, mask)
        ctx.scaling = scaling
        output = _like_tokens(queries)
        for row in range(len(queries)):
            for head, part in _heads(queries, keys, values, mask, scaling, row):
                output[row, head] = products.product(part.weights(), part.values.t())
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, mask = ctx.saved_tensors
        for_queries, for_keys, for_values = (_like_tokens(x) for x in (queries, keys, values))
        for row in range(len(queries)):
            row_gradient = gradient[row].contiguous()
            for head, part in _heads(queries, keys, values, mask, ctx.scaling, row):
                weights, of_output = part.weights(), row_gradient[head]
                of_weights = products.product(of_output, part.values)
                of_logits = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True))
                for_queries[row, head] = products.product(of_logits, part.keys.t()).mul_(ctx.scaling)
                # The queries are scaled already.
                _put(for_keys[row, head], part.seen, products.product_over_rows(of_logits, part.queries))
                _put(for_values[row, head], part.seen, products.product_over_rows(weights, of_output))
        return for_queries, for_keys, for_values, None, None


class _Head(NamedTuple):
    """One head of one row, scaled queries and the entries between which all lie that it may see."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor | None
    seen: slice

    def weights(self) -> Tensor:
        """(tokens, entries)."""
        return torch.softmax(products.product(self.queries, self.keys, self.mask), -1)


def _heads(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float, row: int
) -> Iterator[tuple[int, _Head]]:
    heads, entries = keys.shape[1:3]
    row_mask = None
    if mask is not None:
        row_mask = mask.expand(len(queries), heads, 1, entries)[row, :, 0]
    seen = slice(0, entries) if row_mask is None else _seen(row_mask)
    scaled = (queries[row] * scaling).contiguous()
    keys, values = keys[row, :, seen].contiguous(), values[row, :, seen].contiguous()
    for head in range(heads):
        yield (
            head,
            _Head(scaled[head], keys[head], values[head], None if row_mask is None else row_mask[head, seen], seen),
        )


def _seen(row_mask: Tensor) -> slice:
    """Entries between which all lie that a row may see: a memory that is still empty, and padding, cost nothing."""
    places = (row_mask != -torch.inf).any(0).nonzero()
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, row_mask.shape[-1])


def _put(whole: Tensor, seen: slice, part: Tensor) -> None:
    whole[: seen.start], whole[seen], whole[seen.stop :] = 0, part, 0


def _like_tokens(tensor: Tensor) -> Tensor:
    """Memory in the shape of (rows, heads, tokens, dim), the heads of a token side by side as backbones want them."""
    rows, heads, tokens, dim = tensor.shape
    return tensor.new_empty(rows, tokens, heads, dim).transpose(1, 2)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -torch.inf)
