"""Rotary positions of keys and queries: put on, taken off, changed."""

from __future__ import annotations

import torch
from torch import Tensor

from memenc_kernels.checks import require_shape, require_together, width_refusal
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.rotation import reference
from memenc_kernels.rotation.configurations import MOST_AXES, WIDEST
from memenc_kernels.rotation.operators import forward
from memenc_kernels.rotation.table import Rotation

__all__ = ["Rotation", "require_rows", "rotate"]


def rotate(tokens: Tensor, rotation: Rotation, *, implementation: Implementation = "auto") -> Tensor:
    """``(x cos - x' sin, x' cos + x sin)`` for every pair (x, x') of every token's numbers.

    Source: Su et al. 2021, RoFormer (arXiv:2104.09864).

    Args:
        tokens: (..., tokens, dim), any strides.
        rotation: tables that broadcast with (..., tokens, pairs), in float32 at least.
        implementation: auto, triton or torch.

    Returns:
        Like tokens, rounded once.

    Raises:
        ValueError: shapes do not fit, or Triton was asked for and cannot run.
    """
    _check(tokens, rotation)
    if choose("rotation", implementation, tokens.device, _refusal(tokens, rotation)) == "triton":
        return forward(tokens, *rotation, False)
    return reference.rotate(tokens, rotation)


def require_rows(rotation: Rotation, tokens: Tensor) -> None:
    """Require tables (tokens, pairs) that all rows of tokens (..., tokens, dim) share.

    Raises:
        ValueError: they have other axes or another length.
    """
    for name, table in (("cosine", rotation.cosine), ("sine", rotation.sine)):
        require_shape(name, table, tokens=tokens.shape[-2], pairs=None)
    _check(tokens, rotation)


def _check(tokens: Tensor, rotation: Rotation) -> None:
    cosine, sine = rotation.cosine, rotation.sine
    require_together({"tokens": tokens, "cosine": cosine, "sine": sine})
    if cosine.shape != sine.shape or cosine.dim() < 2 or 2 * cosine.shape[-1] > tokens.shape[-1]:
        raise ValueError(
            f"a rotation has a cosine {tuple(cosine.shape)} and a sine {tuple(sine.shape)}; both must be (..., tokens, "
            f"pairs) with at most {tokens.shape[-1] // 2} pairs"
        )
    try:
        shape = torch.broadcast_shapes(cosine.shape[:-1], tokens.shape[:-1])
    except RuntimeError:
        shape = None
    if shape != tokens.shape[:-1]:
        raise ValueError(
            f"a rotation of the shape {tuple(cosine.shape)} does not broadcast with tokens {tuple(tokens.shape)}"
        )


def _refusal(tokens: Tensor, rotation: Rotation) -> str | None:
    if tokens.dim() > MOST_AXES:
        return f"tokens have {tokens.dim()} axes, the kernel takes {MOST_AXES} at most"
    if rotation.cosine.dtype != torch.float32:
        return f"the tables are {rotation.cosine.dtype}, the kernel takes torch.float32"
    return width_refusal(tokens, WIDEST)
