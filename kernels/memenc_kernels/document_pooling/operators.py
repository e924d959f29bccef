"""Document pooling in Triton as operators of torch: differentiable, and known to compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels.library import define


def run(*arguments: Tensor) -> tuple[Tensor, ...]:
    """Total, highest, maximum, sum, weighted sum; arguments as those of the reference."""
    return forward(*arguments)[:5]


def _forward(*arguments: Tensor) -> tuple[Tensor, ...]:
    from memenc_kernels.document_pooling import launcher

    return launcher.forward(*arguments)


def _forward_shapes(states: Tensor, valid: Tensor, query: Tensor, before: Tensor, scales: Tensor) -> tuple[Tensor, ...]:
    batch, tokens, hidden = states.shape
    heads = (batch, len(query), len(scales))
    shapes = [(batch, hidden), (batch, hidden), (batch, len(query)), heads, (*heads, hidden), (batch, hidden)]
    return tuple(before.new_empty(shape) for shape in (*shapes, (batch, len(query), tokens)))


def _backward(*arguments: Tensor) -> tuple[Tensor, Tensor]:
    from memenc_kernels.document_pooling import launcher

    states, valid, query, scales = arguments[4:8]
    return launcher.backward(arguments[:4], states, valid, query, scales, arguments[8:])  # pyright: ignore


def _backward_shapes(*arguments: Tensor) -> tuple[Tensor, Tensor]:
    states, _, query = arguments[4:7]
    return states.new_empty(states.shape), query.new_empty(query.shape)


forward = define(
    "document_pooling",
    "(Tensor states, Tensor valid, Tensor query, Tensor before, Tensor scales) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
backward = define(
    "document_pooling_backward",
    "(Tensor total_gradient, Tensor highest_gradient, Tensor sum_gradient, Tensor weighted_gradient, Tensor states, "
    "Tensor valid, Tensor query, Tensor scales, Tensor highest, Tensor maxima, Tensor counts, Tensor logits) "
    "-> (Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    states, valid, query, _, scales = inputs
    _, highest, maxima, _, _, counts, logits = output
    ctx.save_for_backward(states, valid, query, scales, highest, maxima, counts, logits)
    # Zeros for what has no gradient would be as large as the logits.
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    states, _, query, scales, highest, *_ = saved = ctx.saved_tensors
    heads = (len(states), len(query), len(scales))
    shapes = (highest.shape, highest.shape, heads, (*heads, states.shape[-1]))
    asked = (gradients[place] for place in (0, 1, 3, 4))
    found = (
        highest.new_zeros(shape) if gradient is None else gradient
        for gradient, shape in zip(asked, shapes, strict=True)
    )
    state_gradient, query_gradient = backward(*found, *saved)
    return state_gradient, None, query_gradient, None, None


torch.library.register_autograd(forward, _gradient, setup_context=_keep)
