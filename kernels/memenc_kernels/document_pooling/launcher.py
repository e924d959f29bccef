"""Starts the Triton kernels of document pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.arrays import of_vectors
from memenc_kernels.document_pooling import triton as kernels
from memenc_kernels.document_pooling.configurations import SPLIT_TOKENS, TOKENS, configuration_of


def forward(
    states: Tensor, valid: Tensor, query: Tensor, before: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Total, highest, maximum, sum, weighted sum; and for the backward how often the highest occurs, and the logits."""
    shared = _shared(states, valid, query, scales)
    batch, tokens, hidden = states.shape
    heads = (len(query), len(scales))
    logits = launch.empty((batch, len(query), tokens), before)
    launch.start(kernels.logits_kernel, (batch * shared["token_blocks"],), states, logits=logits, **shared)
    maxima = torch.maximum(before, logits.amax(-1))
    parts = {
        name: launch.empty((batch, shared["splits"], *shape), before)
        for name, shape in {
            "totals": (hidden,),
            "highest": (hidden,),
            "counts": (hidden,),
            "sums": heads,
            "weighted": (*heads, hidden),
        }.items()
    }
    launch.start(
        kernels.pool_kernel, (batch * shared["splits"], shared["columns"]), states,
        weighing=_weighing(logits, maxima, scales), **parts, **shared,
    )  # fmt: skip
    highest = parts["highest"].amax(1)
    counts = (parts["counts"] * (parts["highest"] == highest[:, None])).sum(1)
    total, sums, weighted = (parts[name].sum(1) for name in ("totals", "sums", "weighted"))
    return total, highest, maxima, sums, weighted, counts, logits


def backward(
    gradients: Sequence[Tensor], states: Tensor, valid: Tensor, query: Tensor, scales: Tensor, kept: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Gradients of states and query.

    Args:
        gradients: of total, highest, sum and weighted sum.
        states: as in the forward pass, like the next three.
        valid: likewise.
        query: likewise.
        scales: likewise.
        kept: highest, maximum, how often the highest occurs, and the logits of the forward pass.
    """
    highest, maxima, counts, logits = kept
    total_gradient, highest_gradient, sum_gradient, weighted_gradient = (x.contiguous() for x in gradients)
    batch, tokens, hidden = states.shape
    shared = _shared(states, valid, query, scales)
    shared |= {
        "weighing": _weighing(logits, maxima, scales),
        "weighted_gradient": weighted_gradient,
        "slopes": launch.empty((batch, shared["heads"], tokens), logits),
    }
    rows = batch * shared["token_blocks"]
    launch.start(kernels.slopes_kernel, (rows,), states, sum_gradient=sum_gradient, **shared)
    state_gradient = launch.empty(states.shape, states)
    launch.start(
        kernels.states_backward_kernel, (rows, shared["columns"]), states, highest=highest,
        total_gradient=total_gradient, highest_gradient=highest_gradient / counts.clamp(min=1),
        state_gradient=state_gradient, **shared,
    )  # fmt: skip
    asked = launch.empty((batch, shared["splits"], len(query), len(scales), hidden), logits)
    grid = (batch * shared["splits"], shared["columns"])
    launch.start(kernels.query_backward_kernel, grid, states, asked=asked, **shared)
    return state_gradient, asked.sum((0, 1, 3)).to(query.dtype)


def _shared(states: Tensor, valid: Tensor, query: Tensor, scales: Tensor) -> dict[str, Any]:
    """Arguments that kernels have in common, and how many blocks of `columns` there are."""
    _, tokens, hidden = states.shape
    configuration = configuration_of(architecture_of(states.device), hidden, len(query), len(scales))
    return {
        "states": of_vectors(states),
        "valid": valid.to(torch.uint8).contiguous(),
        "query": query.contiguous(),
        "tokens": tokens,
        "queries": len(query),
        "heads": len(query) * len(scales),
        "token_blocks": -(-tokens // TOKENS),
        "splits": -(-tokens // SPLIT_TOKENS),
        "split_tokens": SPLIT_TOKENS,
        "columns": -(-hidden // configuration["BLOCK_COLUMNS"]),
        **configuration,
    }


def _weighing(logits: Tensor, maxima: Tensor, scales: Tensor) -> kernels.Weighing:
    _, queries, tokens = logits.shape
    return kernels.Weighing(logits, maxima, scales.contiguous(), tokens, queries, len(scales))
