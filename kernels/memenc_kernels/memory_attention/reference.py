"""Torch reference of memory attention: any device, any floating type, autograd; entries stand per row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from memenc_kernels.memory_attention import softmax


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    valid: Tensor | None = None,
    memory_keys: Tensor | None = None,
    memory_values: Tensor | None = None,
    memory_valid: Tensor | None = None,
    memory_bias: Tensor | None = None,
    memory_positions: Tensor | None = None,
    scaling: float | None = None,
    causal: bool = False,
    sliding_window: int | None = None,
    memory_in_sliding_window: bool = True,
    dropout: float = 0.0,
) -> Tensor:
    """``softmax(q [memory_keys, keys]^T * scaling + [bias, 0]) [memory_values, values]`` for every row.

    Args:
        queries: (rows, heads, tokens, dim).
        keys: (rows, key_value_heads, tokens, dim), heads a multiple of key_value_heads.
        values: like keys.
        valid: (rows, tokens) bool, or None if all are; in a row without any, every token counts as valid, so that
            its (meaningless) output is finite.
        memory_keys: (rows, key_value_heads, entries, dim), or None for attention without memory.
        memory_values: like memory_keys.
        memory_valid: (rows, entries) bool, or None if all are.
        memory_bias: (heads, entries) added to the logits of the entries.
        memory_positions: (entries,) relative to the first token, NaN for an entry that is near to every token; needed
            by `sliding_window`.
        scaling: of the logits; dim ** -0.5 if None.
        causal: a token sees no later token of its row (memory always lies before it).
        sliding_window: a token sees what is less than this many positions away.
        memory_in_sliding_window: whether `sliding_window` holds for memory entries too.
        dropout: share of attention weights set to zero.

    Returns:
        (rows, heads, tokens, dim).
    """
    scaling = float(queries.shape[-1] ** -0.5) if scaling is None else scaling
    entries = 0 if memory_keys is None else memory_keys.shape[2]
    positions = memory_positions if entries else None
    mask = _mask(queries, valid, memory_valid, entries, causal)
    mask = _within(mask, queries, sliding_window, positions, memory_in_sliding_window)
    if memory_keys is not None and memory_values is not None:
        keys = torch.cat([memory_keys, keys], dim=2)
        values = torch.cat([memory_values, values], dim=2)
    keys, values = _repeat_heads(keys, queries.shape[1]), _repeat_heads(values, queries.shape[1])
    if memory_bias is not None and entries:
        bias = functional.pad(memory_bias, (0, queries.shape[2]))
        return _attend_with_bias(queries, keys, values, mask, bias, scaling, dropout)
    return softmax.attend(queries, keys, values, mask, scaling, dropout)


def log_weight(
    queries: Tensor,
    keys: Tensor,
    *,
    valid: Tensor | None = None,
    memory_keys: Tensor | None = None,
    memory_values: Tensor | None = None,
    memory_valid: Tensor | None = None,
    memory_bias: Tensor | None = None,
    memory_positions: Tensor | None = None,
    scaling: float | None = None,
    causal: bool = False,
    sliding_window: int | None = None,
    memory_in_sliding_window: bool = True,
) -> Tensor:
    """Logarithm of the sum of the exponentials over which `attention` takes its mean.

    Arguments as there.

    Returns:
        (rows, heads, tokens, 1), in float32 at least.
    """
    scaling = float(queries.shape[-1] ** -0.5) if scaling is None else scaling
    entries = 0 if memory_keys is None else memory_keys.shape[2]
    positions = memory_positions if entries else None
    mask = _mask(queries, valid, memory_valid, entries, causal)
    mask = _within(mask, queries, sliding_window, positions, memory_in_sliding_window)
    keys = keys if memory_keys is None else torch.cat([memory_keys, keys], dim=2)
    logits = (queries @ _repeat_heads(keys, queries.shape[1]).transpose(-1, -2)) * scaling
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if memory_bias is not None and entries:
        logits = logits + functional.pad(memory_bias, (0, queries.shape[2]))[None, :, None]
    return (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).logsumexp(-1, keepdim=True)


def _attend_with_bias(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, bias: Tensor, scaling: float, dropout: float
) -> Tensor:
    """Attention with an addition to the logits per head and key, `bias` (heads, keys)."""
    if not (torch.is_grad_enabled() and bias.requires_grad):
        added = bias[None, :, None].to(queries.dtype)
        added = added if mask is None else added.masked_fill(~mask, -torch.inf)
        return softmax.attend(queries, keys, values, added, scaling, dropout)
    # A mask with gradient forces torch's slow path (2.5 times slower on a CPU). One more dimension in which every query
    # is 1 and the keys hold the bias gives the same logits and the gradient; eight keep the fast path's alignment.
    dim = queries.shape[-1]
    one = functional.pad(queries.new_ones(*queries.shape[:-1], 1), (0, 7))
    biased = functional.pad((bias / scaling).to(keys.dtype)[None, :, :, None], (0, 7)).expand(len(keys), -1, -1, -1)
    attended = softmax.attend(
        torch.cat([queries, one], -1),
        torch.cat([keys, biased], -1),
        functional.pad(values, (0, 8)),
        mask,
        scaling,
        dropout,
    )
    return attended[..., :dim]


def _mask(
    queries: Tensor, valid: Tensor | None, memory_valid: Tensor | None, entries: int, causal: bool
) -> Tensor | None:
    """Keys that may be seen, broadcastable to (rows, 1, tokens, entries + tokens), or None for all."""
    rows, _, tokens, _ = queries.shape
    if valid is None and memory_valid is None and not causal:
        return None
    device = queries.device
    own = torch.ones(rows, tokens, dtype=torch.bool, device=device)
    if valid is not None:
        own = valid | ~valid.any(1, keepdim=True)
    memory = memory_valid
    if memory is None:
        memory = torch.ones(rows, entries, dtype=torch.bool, device=device)
    mask = torch.cat([memory[:, :entries], own], dim=1)[:, None, None]
    if causal:
        earlier = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
        mask = mask & functional.pad(earlier, (entries, 0), value=True)
    return mask


def _within(
    mask: Tensor | None, queries: Tensor, sliding_window: int | None, positions: Tensor | None, for_memory: bool
) -> Tensor | None:
    if sliding_window is None:
        return mask
    near = _near(queries, sliding_window, positions, for_memory)
    return near if mask is None else mask & near


def _near(queries: Tensor, sliding_window: int, positions: Tensor | None, for_memory: bool) -> Tensor:
    """Pairs less than `sliding_window` positions apart, (tokens, entries + tokens)."""
    own = torch.arange(queries.shape[2], device=queries.device, dtype=torch.float32)
    near = (own[:, None] - own).abs() < sliding_window
    if positions is None:
        return near
    positions = positions.to(own)
    to_memory = ((own[:, None] - positions).abs() < sliding_window) | positions.isnan()
    return torch.cat([to_memory if for_memory else torch.ones_like(to_memory), near], dim=1)


def _repeat_heads(tensor: Tensor, heads: int) -> Tensor:
    rows, groups, tokens, dim = tensor.shape
    if groups == heads:
        return tensor
    return tensor[:, :, None].expand(rows, groups, heads // groups, tokens, dim).reshape(rows, heads, tokens, dim)
