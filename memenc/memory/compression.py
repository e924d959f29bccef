"""Ways to compress neighbouring keys and values into one: mean, maximum, convolution, learned query."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

Compression = Literal["mean", "max", "convolution", "learned_query"]


class Compressor(nn.Module):
    """Compress every `rate` neighbouring tokens into one slot.

    Source: Rae et al. 2019, Compressive Transformer (arXiv:1911.05507), section 3.2. Convolution (kernel = stride =
    rate, within a head) and learned query (softmax over the tokens of a slot) start equal to the mean.

    Args:
        kind: mean, max, convolution or learned_query.
        rate: tokens per slot.
        heads: key and value heads.
        head_dim: numbers per head.
    """

    def __init__(self, kind: Compression, rate: int, heads: int, head_dim: int) -> None:
        super().__init__()
        if kind not in get_args(Compression):
            raise ValueError(f"memory option compression={kind!r}: choose one of {get_args(Compression)}")
        self.kind, self.rate = kind, rate
        if kind == "convolution":
            self.key_kernel = nn.Parameter(torch.empty(rate, head_dim, head_dim))
            self.value_kernel = nn.Parameter(torch.empty(rate, head_dim, head_dim))
        if kind == "learned_query":
            self.query = nn.Parameter(torch.empty(heads, head_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the mean."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Compress (batch, heads, slots * rate, head_dim) keys and values to (batch, heads, slots, head_dim)."""
        keys, values = self._stretches(keys), self._stretches(values)
        if self.kind == "max":
            return keys.amax(3), values.amax(3)
        if self.kind == "learned_query":
            scores = einsum(
                keys, self.query.to(keys.dtype), "batch heads slots rate dim, heads dim -> batch heads slots rate"
            )
            weights = scores.softmax(-1).to(keys.dtype)
            pattern = "batch heads slots rate dim, batch heads slots rate -> batch heads slots dim"
            return einsum(keys, weights, pattern), einsum(values, weights, pattern)
        if self.kind == "convolution":
            return _convolve(keys, self.key_kernel), _convolve(values, self.value_kernel)
        return keys.mean(3), values.mean(3)

    def _stretches(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "batch heads (slots rate) dim -> batch heads slots rate dim", rate=self.rate)


def _convolve(stretches: Tensor, kernel: Tensor) -> Tensor:
    # The kernel is the departure from the mean, so that zeros are a safe start and weight decay pulls towards it.
    departure = einsum(
        stretches, kernel.to(stretches.dtype), "batch heads slots rate dim, rate dim out -> batch heads slots out"
    )
    return stretches.mean(3) + departure
