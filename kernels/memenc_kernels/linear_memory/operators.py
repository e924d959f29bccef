"""Linear memory in Triton as operators of torch: differentiable, and known to compilers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels.library import define

STATE = "Tensor queries, Tensor keys, Tensor values, Tensor {matrix}, Tensor {normaliser}"
MASKS = "Tensor complete, Tensor known, bool delta, bool[] cuts"


def run(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Retrieved, matrix and normaliser; arguments as those of the reference."""
    return forward(*arguments)[:3]


def _forward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    matrix: Tensor,
    normaliser: Tensor,
    complete: Tensor,
    known: Tensor,
    delta: bool,
    cuts: Sequence[bool],
) -> tuple[Tensor, ...]:
    from memenc_kernels.linear_memory import launcher

    return launcher.forward(queries, keys, values, matrix, normaliser, complete, known, delta)


def _forward_shapes(
    queries: Tensor, keys: Tensor, values: Tensor, matrix: Tensor, normaliser: Tensor, complete: Tensor, *options: Any
) -> tuple[Tensor, ...]:
    each = complete.shape
    before = (x.new_empty((*each, *x.shape[1:])) for x in (matrix, normaliser))
    removed = matrix.new_empty((*each, *matrix.shape[1:]) if options[1] else (0,))
    return (*(x.new_empty(x.shape) for x in (queries, matrix, normaliser)), *before, removed)


def _backward(
    retrieved_gradient: Tensor,
    matrix_gradient: Tensor,
    normaliser_gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    matrices: Tensor,
    normalisers: Tensor,
    removed: Tensor,
    complete: Tensor,
    known: Tensor,
    delta: bool,
    cuts: Sequence[bool],
) -> tuple[Tensor, ...]:
    from memenc_kernels.linear_memory import launcher

    gradients = retrieved_gradient, matrix_gradient, normaliser_gradient
    before = matrices, normalisers, removed
    ends = _mask_of(cuts, queries.device) if any(cuts) else None
    return launcher.backward(gradients, queries, keys, values, before, complete, known, delta, ends)


def _mask_of(cuts: Sequence[bool], device: torch.device) -> Tensor:
    """The cuts as kernels read them."""
    # A copy from the host would wait for the device; these are filled and joined there.
    either = torch.zeros(1, dtype=torch.uint8, device=device), torch.ones(1, dtype=torch.uint8, device=device)
    return torch.cat([either[cut] for cut in cuts])


def _backward_shapes(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(arguments[place].new_empty(arguments[place].shape) for place in (3, 4, 5, 1, 2))


forward = define(
    "linear_memory",
    f"({STATE.format(matrix='matrix', normaliser='normaliser')}, {MASKS}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
backward = define(
    "linear_memory_backward",
    "(Tensor retrieved_gradient, Tensor matrix_gradient, Tensor normaliser_gradient, "
    f"{STATE.format(matrix='matrices', normaliser='normalisers')}, Tensor removed, {MASKS}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    queries, keys, values, _, _, complete, known, ctx.delta, ctx.cuts = inputs
    ctx.save_for_backward(queries, keys, values, *output[3:], complete, known)
    # Zeros for what has no gradient would be as large as everything kept.
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    queries, _, _, matrices, normalisers, *_ = saved = ctx.saved_tensors
    likes = queries, matrices[:, 0], normalisers[:, 0]
    found = (
        torch.zeros_like(like) if gradient is None else gradient
        for gradient, like in zip(gradients[:3], likes, strict=True)
    )
    return *backward(*found, *saved, ctx.delta, ctx.cuts), None, None, None, None


torch.library.register_autograd(forward, _gradient, setup_context=_keep)
