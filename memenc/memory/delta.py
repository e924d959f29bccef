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


def few_tokens(
    start: Tensor, features: Tensor, weight: Tensor, strength: Tensor, values: Tensor, plan: WritePlan
) -> list[Tensor]:
    """``M <- M + K^T S (V - D^-1 K M)``: the same rule for segments of fewer tokens than a key has numbers.

    There these products are smaller than the matrix that `affine` takes.

    Shapes: start (batch, heads, key, value), features (batch, segments, heads, tokens, key), weight, what the
    normaliser says of each key, and strength of its write (batch, segments, heads, tokens), values (batch, segments,
    heads, tokens, value).
    """
    inverse, matrices = inverse_of(weight), [start]
    for index in range(features.shape[1]):
        before = matrices[-1].detach() if plan.cuts(index) else matrices[-1]
        matrices[-1] = before
        known = features[:, index] @ before * inverse[:, index, ..., None]
        change = (values[:, index] - known) * strength[:, index, ..., None]
        matrices.append(before + features[:, index].transpose(-1, -2) @ change)
    return matrices


def removal(features: Tensor, weight: Tensor) -> Tensor:
    """``K^T D^-1 K`` with ``D = diag(weight)``: times M, what the delta rule takes out of it.

    Args:
        features: (..., tokens, key).
        weight: what the normaliser says of each key, (..., tokens).
    """
    return (features * inverse_of(weight)[..., None]).transpose(-1, -2) @ features


def inverse_of(weight: Tensor) -> Tensor:
    """``1 / weight``, and 0 where the weight is 0: nothing was written yet, and nothing is known there."""
    return (1.0 / weight.where(weight > 0, 1.0)).where(weight > 0, 0.0)
