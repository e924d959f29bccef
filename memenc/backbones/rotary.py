"""Rotary positions: find how a backbone rotates its keys, take the rotation off, put another on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Rotary:
    """Rotation of one layer: the buffer of inverse frequencies, by name, and how dimensions are paired.

    Source: Su et al. 2021, RoFormer (arXiv:2104.09864). `interleaved` pairs (0, 1), (2, 3), ..., otherwise dimension i
    is paired with i + rotated / 2.
    """

    buffer: str
    interleaved: bool

    def rotate(self, backbone: nn.Module, tokens: Tensor, positions: Tensor) -> Tensor:
        """Rotate (..., tokens, dim) by `positions`, see `rotate`; negative positions take a rotation off."""
        return rotate(tokens, positions, backbone.get_buffer(self.buffer), self.interleaved)


def rotate(tokens: Tensor, positions: Tensor, inverse_frequencies: Tensor, interleaved: bool) -> Tensor:
    """Rotate pairs of the leading dimensions of (..., tokens, dim) by position * frequency, in float32 at least.

    Positions (tokens,), or any shape that broadcasts with (..., tokens); in float64 large ones lose no accuracy.
    """
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    exact = torch.promote_types(positions.dtype, dtype)
    angles = positions.to(exact)[..., None] * inverse_frequencies.to(exact)
    cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    rotated, rest = tokens.split([2 * len(inverse_frequencies), tokens.shape[-1] - 2 * len(inverse_frequencies)], -1)
    rotated = rotated.to(dtype)
    first, second = (rotated[..., 0::2], rotated[..., 1::2]) if interleaved else rotated.chunk(2, -1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    joined = torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)
    return torch.cat([joined.to(tokens.dtype), rest], -1)


def match_rotary(backbone: nn.Module, at_zero: Tensor, at_one: Tensor) -> Rotary | None:
    """The rotation that turns keys of position 0 into keys of position 1, or None if they are the same.

    Args:
        backbone: whose buffers named ``...inv_freq`` are tried.
        at_zero: (..., tokens, head_dim), all tokens at position 0.
        at_one: the same keys, all tokens at position 1; layers see no difference but the rotation.

    Raises:
        ValueError: no buffer explains the difference.
    """
    at_zero, at_one = at_zero.double(), at_one.double()
    size = at_zero.norm()
    if (at_one - at_zero).norm() <= 1e-6 * size:
        return None
    ones = torch.ones(at_zero.shape[-2], dtype=torch.float64, device=at_zero.device)
    candidates: list[tuple[float, Rotary]] = []
    for name, buffer in backbone.named_buffers():
        if not name.endswith("inv_freq") or "original" in name or 2 * len(buffer) > at_zero.shape[-1]:
            continue
        for interleaved in (False, True):
            error = (rotate(at_zero, ones, buffer, interleaved) - at_one).norm() / size
            candidates.append((float(error), Rotary(name, interleaved)))
    # Half precision rounds keys by less than 1 %; a wrong base or pairing is off by tens of per cent.
    if not candidates or min(candidates, key=lambda pair: pair[0])[0] > 0.02:
        raise ValueError("its keys depend on positions in a way that is not a known rotary embedding")
    return min(candidates, key=lambda pair: pair[0])[1]
