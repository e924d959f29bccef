"""Torch reference of the rotation: any device, any floating type, autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from memenc_kernels.rotation.table import Rotation


def rotate(tokens: Tensor, rotation: Rotation) -> Tensor:
    """Rotated tokens; arguments as the public function's."""
    cosine, sine, interleaved = rotation
    dtype = torch.promote_types(tokens.dtype, cosine.dtype)
    turning = 2 * cosine.shape[-1]
    turned, rest = tokens.split([turning, tokens.shape[-1] - turning], -1)
    turned = turned.to(dtype)
    first, second = (turned[..., 0::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
    both = (first * cosine - second * sine, second * cosine + first * sine)
    joined = torch.stack(both, -1).flatten(-2) if interleaved else torch.cat(both, -1)
    return torch.cat([joined.to(tokens.dtype), rest], -1)
