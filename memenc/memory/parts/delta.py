"""The delta rule along the segments of a group, for segments of few tokens."""

from __future__ import annotations

from torch import Tensor

from memenc.memory.values import WritePlan
from memenc_kernels.linear_memory import inverse_of
from memenc_kernels.precision import exact

__all__ = ["exact", "few_tokens"]


def few_tokens(
    start: Tensor, features: Tensor, weight: Tensor, strength: Tensor, values: Tensor, plan: WritePlan
) -> list[Tensor]:
    """``M <- M + K^T S (V - D^-1 K M)``: the same rule for segments of fewer tokens than a key has numbers.

    There these products are smaller than the matrix that the linear memory's scan takes.

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
