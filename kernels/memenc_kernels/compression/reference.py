"""Torch reference of compression: any device, any floating type, autograd."""

from __future__ import annotations

from einops import einsum, rearrange
from torch import Tensor


def compress(keys: Tensor, values: Tensor, rate: int, kind: str, query: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compressed keys and values by mean, max or learned query; arguments as the public function's."""
    keys, values = stretches(keys, rate), stretches(values, rate)
    if kind == "max":
        return keys.amax(3), values.amax(3)
    if query is not None:
        scores = einsum(keys, query.to(keys.dtype), "batch heads slots rate dim, heads dim -> batch heads slots rate")
        weights = scores.softmax(-1).to(keys.dtype)
        pattern = "batch heads slots rate dim, batch heads slots rate -> batch heads slots dim"
        return einsum(keys, weights, pattern), einsum(values, weights, pattern)
    return keys.mean(3), values.mean(3)


def departure(tokens: Tensor, kernel: Tensor, rate: int) -> Tensor:
    """What a convolution with kernel = stride = rate adds to the mean; kernel (rate, dim, dim)."""
    pattern = "batch heads slots rate dim, rate dim out -> batch heads slots out"
    return einsum(stretches(tokens, rate), kernel.to(tokens.dtype), pattern)


def stretches(tokens: Tensor, rate: int) -> Tensor:
    """Neighbours that share a slot, side by side."""
    return rearrange(tokens, "batch heads (slots rate) dim -> batch heads slots rate dim", rate=rate)
