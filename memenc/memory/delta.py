"""Sums and delta rules along the segments of a group: all matrix products at once, only small ones in order."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from memenc.memory.values import WritePlan


def exact(like: Tensor) -> AbstractContextManager:
    """Products in the precision of their operands, also where autocast would take half of it: states add up errors."""
    # Tensors without numbers know no autocast.
    return nullcontext() if like.is_meta else torch.autocast(like.device.type, enabled=False)


def running(start: Tensor, steps: Tensor, plan: WritePlan) -> list[Tensor]:
    """Sums before each segment and after the last; `steps` (batch, segments, ...)."""
    sums = [start]
    for index in range(steps.shape[1]):
        sums[-1] = sums[-1].detach() if plan.cuts(index) else sums[-1]
        sums.append(sums[-1] + steps[:, index])
    return sums


def affine(start: Tensor, removed: Tensor | None, added: Tensor, plan: WritePlan) -> list[Tensor]:
    """``M <- M - removed M + added`` before each segment and after the last.

    Shapes: start (batch, heads, key, value), removed (batch, segments, heads, key, key), added (batch, segments, heads,
    key, value).
    """
    matrices = [start]
    for index in range(added.shape[1]):
        before = matrices[-1].detach() if plan.cuts(index) else matrices[-1]
        matrices[-1] = before
        change = added[:, index] if removed is None else added[:, index] - removed[:, index] @ before
        matrices.append(before + change)
    return matrices


def removal(features: Tensor, weight: Tensor, strength: Tensor | None = None) -> Tensor:
    """``K^T D^-1 K`` with ``D = diag(weight)``: times M, what the delta rule takes out of it.

    Where `weight` (..., tokens) is 0 nothing was written yet, and nothing is taken out.

    Args:
        features: (..., tokens, key).
        weight: what the normaliser says of each key, (..., tokens).
        strength: of every token's write, (..., tokens); 1 if None.
    """
    inverse = (1.0 / weight.where(weight > 0, 1.0)).where(weight > 0, 0.0)
    inverse = inverse if strength is None else inverse * strength
    return (features * inverse[..., None]).transpose(-1, -2) @ features
