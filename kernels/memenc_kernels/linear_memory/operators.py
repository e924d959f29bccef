"""Linear memory in Triton as operators of torch: differentiable, and known to compilers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels.library import define
from memenc_kernels.linear_memory.arguments import Given

STATE = "Tensor queries, Tensor keys, Tensor values, Tensor {matrix}, Tensor {normaliser}"
MASKS = "Tensor complete, Tensor known, bool delta, bool[] cuts"


def run(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Retrieved, matrix and normaliser; arguments as those of the reference."""
    return forward(*arguments)[:3]


def _forward(*arguments: Any) -> tuple[Tensor, ...]:
    from memenc_kernels.linear_memory import launcher

    *tensors, delta, _ = arguments
    return launcher.forward(Given(*tensors), delta)


def _forward_shapes(*arguments: Any) -> tuple[Tensor, ...]:
    *tensors, delta, _ = arguments
    queries, _, _, matrix, normaliser, complete, _ = Given(*tensors)
    before = [x.new_empty((*complete.shape, *x.shape[1:])) for x in (matrix, normaliser)]
    removed = matrix.new_empty(before[0].shape if delta else (0,))
    return (*(x.new_empty(x.shape) for x in (queries, matrix, normaliser)), *before, removed)


def _backward(*arguments: Any) -> tuple[Tensor, ...]:
    from memenc_kernels.linear_memory import launcher

    gradients, before, (removed, *masks, delta, cuts) = arguments[:3], arguments[3:8], arguments[8:]
    ends = _mask_of(cuts, removed.device) if any(cuts) else None
    return launcher.backward(gradients, Given._make((*before, *masks)), removed, delta, ends)


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
