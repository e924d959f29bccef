"""Torch reference of linear memory: any device, any floating type, autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import repeat
from torch import Tensor

from memenc_kernels.linear_memory.arguments import Given
from memenc_kernels.precision import exact


def linear_memory(given: Given, delta: bool, cuts: Sequence[bool]) -> tuple[Tensor, Tensor, Tensor]:
    """What every segment retrieves, and matrix and normaliser after the last; arguments as the public function's."""
    queries, keys, values, matrix, normaliser, complete, known = given
    with exact(queries):
        whole = complete[:, :, None, None, None]
        # Sums over another layout round otherwise, and the layout must not decide a document's state.
        keys, values = (x.to(matrix.dtype).contiguous() for x in (keys, values))
        # What is not written may be anything, NaN included.
        features, values = feature_map(keys).where(whole, 0.0), values.where(whole, 0.0)
        normalisers = running(normaliser, features.sum(3), cuts)
        removed = None
        if delta:
            weight = (features @ torch.stack(normalisers[:-1], 1)[..., None]).squeeze(-1)
            removed = removal(features, weight)
        matrices = affine(matrix, removed, features.transpose(-1, -2) @ values, cuts)
        before = torch.stack(matrices[:-1], 1), torch.stack(normalisers[:-1], 1)
        return look_up(queries, *before, known), matrices[-1], normalisers[-1]


def look_up(queries: Tensor, matrix: Tensor, normaliser: Tensor, known: Tensor) -> Tensor:
    """``f(q) M / f(q) z`` in the type of the queries; not divided where nothing is `known`, or all features are 0."""
    features = feature_map(queries.to(matrix.dtype).contiguous())
    group = queries.shape[2] // matrix.shape[2]
    pattern = "batch segments heads ... -> batch segments (heads group) ..."
    matrix, normaliser = (repeat(x, pattern, group=group) for x in (matrix, normaliser))
    weight = features @ normaliser[..., None]
    divided = known[:, :, None, None, None] & (weight > 0)
    return (features @ matrix / weight.where(divided, 1.0)).to(queries.dtype)


def feature_map(x: Tensor) -> Tensor:
    """``elu(x) + 1``: positive, so that the normaliser is."""
    # As a sum it would be 0 below -17, where exp(x) - 1 rounds to -1.
    return torch.where(x > 0, x + 1.0, x.clamp(max=0.0).exp())


def running(start: Tensor, steps: Tensor, cuts: Sequence[bool]) -> list[Tensor]:
    """Sums before each segment and after the last; `steps` (batch, segments, ...)."""
    sums = [start]
    for index in range(steps.shape[1]):
        sums[-1] = sums[-1].detach() if cuts and cuts[index] else sums[-1]
        sums.append(sums[-1] + steps[:, index])
    return sums


def affine(start: Tensor, removed: Tensor | None, added: Tensor, cuts: Sequence[bool]) -> list[Tensor]:
    """``M <- M - removed M + added`` before each segment and after the last.

    Shapes: start (batch, heads, key, value), removed (batch, segments, heads, key, key), added (batch, segments, heads,
    key, value).
    """
    matrices = [start]
    for index in range(added.shape[1]):
        before = matrices[-1].detach() if cuts and cuts[index] else matrices[-1]
        matrices[-1] = before
        change = added[:, index] if removed is None else added[:, index] - removed[:, index] @ before
        matrices.append(before + change)
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
