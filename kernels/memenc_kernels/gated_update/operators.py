"""The gated update in Triton as operators of torch: differentiable, and known to compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels.gated_update.arguments import Update
from memenc_kernels.library import define

ARGUMENTS = "Tensor slots, Tensor content, Tensor keep, Tensor? take, Tensor fresh, Tensor longest"


def _forward(*tensors: Any) -> Tensor:
    from memenc_kernels.gated_update import launcher

    return launcher.forward(Update(*tensors))


def _backward(gradient: Tensor, *tensors: Any) -> tuple[Tensor, ...]:
    from memenc_kernels.gated_update import launcher

    return launcher.backward(gradient, Update(*tensors))


def _backward_shapes(gradient: Tensor, *tensors: Any) -> tuple[Tensor, ...]:
    slots, content, keep, take, _, longest = Update(*tensors)
    taken = slots.new_empty((0,)) if take is None else take.new_empty(take.shape)
    first = (x.new_empty(x.shape) for x in (slots, content, keep))
    return *first, taken, longest.new_empty(longest.shape)


forward = define("gated_update", f"({ARGUMENTS}) -> Tensor", _forward, lambda slots, *_: slots.new_empty(slots.shape))
backward = define(
    "gated_update_backward",
    f"(Tensor gradient, {ARGUMENTS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    slots, content, keep, take, longest = backward(gradient, *ctx.saved_tensors)
    return slots, content, keep, None if ctx.saved_tensors[3] is None else take, None, longest


torch.library.register_autograd(forward, _gradient, setup_context=_keep)
