"""Starts the Triton kernels of document pooling, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.checks import with_unit_stride
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
    blocks = -(-tokens // TOKENS)
    _start(
        kernels.logits_kernel, (batch * blocks,), query=query.contiguous(), logits=logits, token_blocks=blocks, **shared
    )
    maxima = torch.maximum(before, logits.amax(-1))
    splits = -(-tokens // SPLIT_TOKENS)
    parts = {
        name: launch.empty((batch, splits, *shape), before)
        for name, shape in {
            "totals": (hidden,),
            "highest": (hidden,),
            "counts": (hidden,),
            "sums": heads,
            "weighted": (*heads, hidden),
        }.items()
    }
    _start(
        kernels.pool_kernel, (batch * splits, -(-hidden // shared["BLOCK_COLUMNS"])),
        logits=logits, maxima=maxima, splits=splits, split_tokens=SPLIT_TOKENS, **parts, **shared,
    )  # fmt: skip
    highest = parts["highest"].amax(1)
    counts = (parts["counts"] * (parts["highest"] == highest[:, None])).sum(1)
    total, sums, weighted = (parts[name].sum(1) for name in ("totals", "sums", "weighted"))
    return total, highest, maxima, sums, weighted, counts, logits


def backward(
    gradients: tuple[Tensor, Tensor, Tensor, Tensor],
    states: Tensor,
    valid: Tensor,
    query: Tensor,
    scales: Tensor,
    kept: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Gradients of states and query, from those of total, highest, sum and weighted sum."""
    highest, maxima, counts, logits = kept
    total_gradient, highest_gradient, sum_gradient, weighted_gradient = (x.contiguous() for x in gradients)
    shared = _shared(states, valid, query, scales)
    batch, tokens, hidden = states.shape
    heads = len(query) * len(scales)
    blocks, columns = -(-tokens // TOKENS), -(-hidden // shared["BLOCK_COLUMNS"])
    slopes = launch.empty((batch, heads, tokens), logits)
    weighing = {"logits": logits, "maxima": maxima, "weighted_gradient": weighted_gradient, "slopes": slopes, **shared}
    _start(kernels.slopes_kernel, (batch * blocks,), sum_gradient=sum_gradient, token_blocks=blocks, **weighing)
    state_gradient = launch.empty(states.shape, states)
    _start(
        kernels.states_backward_kernel, (batch * blocks, columns),
        query=query.contiguous(), highest=highest, total_gradient=total_gradient,
        highest_gradient=highest_gradient / counts.clamp(min=1), state_gradient=state_gradient,
        token_blocks=blocks, **weighing,
    )  # fmt: skip
    splits = -(-tokens // SPLIT_TOKENS)
    asked = launch.empty((batch, splits, len(query), len(scales), hidden), logits)
    _start(
        kernels.query_backward_kernel, (batch * splits, columns),
        slopes=slopes, asked=asked, heads=heads, splits=splits, split_tokens=SPLIT_TOKENS, **shared,
    )  # fmt: skip
    return state_gradient, asked.sum((0, 1, 3)).to(query.dtype)


def _shared(states: Tensor, valid: Tensor, query: Tensor, scales: Tensor) -> dict[str, Any]:
    """Arguments that kernels have in common."""
    states = with_unit_stride(states)
    configuration = configuration_of(architecture_of(states.device), states.shape[2], len(query), len(scales))
    return {
        "states": states,
        "stride_batch": states.stride(0),
        "stride_token": states.stride(1),
        "valid": valid.to(torch.uint8).contiguous(),
        "scales": scales.contiguous(),
        "tokens": states.shape[1],
        "queries": len(query),
        "scale_count": len(scales),
        **configuration,
    }


def _start(kernel: Any, grid: tuple[int, ...], **arguments: Any) -> None:
    wanted = (*kernel.arg_names, "num_warps", "num_stages")
    kept = {name: value for name, value in arguments.items() if name in wanted}
    launch.start(kernel, grid, arguments["states"], **kept)
