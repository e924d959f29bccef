"""Document pooling: what one pass over token states leaves of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memenc_kernels.checks import require_bool, require_shape, require_together, type_refusal
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.document_pooling import reference
from memenc_kernels.document_pooling.configurations import MOST_HEADS
from memenc_kernels.document_pooling.operators import run


class Pooled(NamedTuple):
    """What `document_pooling` gives.

    Shapes: total, highest (batch, hidden), highest minus infinity where nothing counts; maximum (batch, queries),
    without gradient; sums (batch, queries, scales); weighted (batch, queries, scales, hidden).
    """

    total: Tensor
    highest: Tensor
    maximum: Tensor
    sums: Tensor
    weighted: Tensor


def document_pooling(
    states: Tensor,
    valid: Tensor,
    query: Tensor,
    before: Tensor,
    scales: Tensor,
    *,
    implementation: Implementation = "auto",
) -> Pooled:
    """Sum, maximum and, per query and scale, ``sum exp(scale (q x - m))`` and ``sum exp(scale (q x - m)) x``.

    ``m`` is the largest logit, or what was largest before: with it the sums of earlier tokens are faded and added.
    Equal maxima share their gradient.

    Source: online softmax of Milakov and Gimelshein 2018 (arXiv:1805.02867).

    Args:
        states: (batch, tokens, hidden), at least one token; may hold anything where not `valid`.
        valid: (batch, tokens) bool.
        query: (queries, hidden).
        before: (batch, queries), largest logit so far, minus infinity for none; its type is that of the results.
        scales: (scales,), not negative.
        implementation: auto, triton or torch.

    Raises:
        ValueError: shapes or types do not fit, or Triton was asked for and cannot run.
    """
    require_shape("states", states, batch=None, tokens=None, hidden=None)
    batch, tokens, hidden = states.shape
    if not tokens:
        raise ValueError(f"states has the shape {tuple(states.shape)}; give at least one token")
    require_shape("valid", valid, batch=batch, tokens=tokens)
    require_bool("valid", valid)
    require_shape("query", query, queries=None, hidden=hidden)
    require_shape("before", before, batch=batch, queries=len(query))
    require_shape("scales", scales, scales=None)
    require_together({"states": states, "valid": valid, "query": query, "before": before, "scales": scales})
    tensors = (states, valid, query, before, scales)
    if choose("document_pooling", implementation, states.device, _refusal(states, query, before, scales)) == "triton":
        return Pooled(*run(*tensors))
    return Pooled(*reference.document_pooling(*tensors))


def _refusal(states: Tensor, query: Tensor, before: Tensor, scales: Tensor) -> str | None:
    """Why the Triton kernel cannot take these, None if it can."""
    if before.dtype != torch.float32 or scales.dtype != torch.float32:
        return f"the state is {before.dtype}, scales are {scales.dtype}; the kernel takes both in torch.float32"
    if len(query) * len(scales) > MOST_HEADS:
        return f"{len(query)} queries at {len(scales)} scales are more than the {MOST_HEADS} that the kernel holds"
    return type_refusal(states) or type_refusal(query)


__all__ = ["Pooled", "document_pooling"]
