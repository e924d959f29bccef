"""Rotary positions: find how a backbone rotates its keys, take the rotation off, put another on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memenc_kernels import Rotation, rotate


@dataclass(frozen=True)
class Rotary:
    """Rotation of one layer: the buffer of inverse frequencies, by name, and how dimensions are paired.

    Source: Su et al. 2021, RoFormer (arXiv:2104.09864). `interleaved` pairs (0, 1), (2, 3), ..., otherwise dimension i
    is paired with i + rotated / 2.
    """

    buffer: str
    interleaved: bool

    def rotation(self, backbone: nn.Module, positions: Tensor, dtype: torch.dtype) -> Rotation:
        """The rotation of tokens of this type at `positions` (..., tokens), its tables in float32 at least."""
        exact = torch.promote_types(dtype, torch.float32)
        return Rotation.by(positions, backbone.get_buffer(self.buffer), self.interleaved, exact)


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
            turned = rotate(at_zero, Rotation.by(ones, buffer, interleaved, torch.float64))
            error = (turned - at_one).norm() / size
            candidates.append((float(error), Rotary(name, interleaved)))
    # Half precision rounds keys by less than 1 %; a wrong base or pairing is off by tens of per cent.
    if not candidates or min(candidates, key=lambda pair: pair[0])[0] > 0.02:
        raise ValueError("its keys depend on positions in a way that is not a known rotary embedding")
    return min(candidates, key=lambda pair: pair[0])[1]
