"""The rotation in Triton as an operator of torch: differentiable, and known to compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels.library import define


def _rotate(*arguments: Any) -> Tensor:
    from memenc_kernels.rotation import launcher

    return launcher.rotate(*arguments)


forward = define(
    "rotate",
    "(Tensor tokens, Tensor cosine, Tensor sine, bool interleaved, bool back) -> Tensor",
    _rotate,
    lambda tokens, *others: tokens.new_empty(tokens.shape),
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, cosine, sine, ctx.interleaved, ctx.back = inputs
    ctx.save_for_backward(cosine, sine)


def _gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    # The transpose of a rotation is its inverse; positions are given, not learned.
    return forward(gradient, *ctx.saved_tensors, ctx.interleaved, not ctx.back), None, None, None, None


torch.library.register_autograd(forward, _gradient, setup_context=_keep)
