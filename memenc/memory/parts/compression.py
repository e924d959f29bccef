"""Ways to compress neighbouring keys and values into one: mean, maximum, convolution, learned query."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from memenc_kernels import Rotation
from memenc_kernels.compression import Compression, compress


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
        self.kind: Compression = kind
        self.rate = rate
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

    def forward(self, keys: Tensor, values: Tensor, rotation: Rotation | None = None) -> tuple[Tensor, Tensor]:
        """Compress (batch, heads, slots * rate, head_dim) keys and values to (batch, heads, slots, head_dim).

        A `rotation` that the keys carry is taken off.
        """
        query = self.query if self.kind == "learned_query" else None
        kernels = (self.key_kernel, self.value_kernel) if self.kind == "convolution" else None
        options = {"rate": self.rate, "kind": self.kind, "query": query, "kernels": kernels}
        return compress(keys, values, **options, rotation=rotation)
