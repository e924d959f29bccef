"""Compression in Triton as operators of torch: differentiable, and known to compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels.library import define


def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from memenc_kernels.compression import launcher

    return launcher.forward(*arguments)


def _forward_shapes(keys: Tensor, values: Tensor, rate: int, *others: Any) -> tuple[Tensor, ...]:
    batch, heads, tokens, dim = keys.shape
    return tuple(x.new_empty((batch, heads, tokens // rate, dim)) for x in (keys, values))


def _backward(keys_gradient: Tensor, values_gradient: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    from memenc_kernels.compression import launcher

    return launcher.backward((keys_gradient, values_gradient), *arguments)


def _backward_shapes(*arguments: Any) -> tuple[Tensor, ...]:
    keys, values, _, _, query, *_ = arguments[2:]
    # As the launcher has it: what no query asks for is summed up in float32 too.
    to_query = keys.new_empty(0, dtype=torch.float32) if query is None else query.new_empty(query.shape)
    return *(x.new_empty(x.shape) for x in (keys, values)), to_query


ARGUMENTS = (
    "Tensor keys, Tensor values, int rate, str kind, Tensor? query, Tensor? cosine, Tensor? sine, bool interleaved"
)
forward = define("compress", f"({ARGUMENTS}) -> (Tensor, Tensor)", _forward, _forward_shapes)
backward = define(
    "compress_backward",
    f"(Tensor keys_gradient, Tensor values_gradient, {ARGUMENTS}) -> (Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    keys, values, ctx.rate, ctx.kind, query, cosine, sine, ctx.interleaved = inputs
    ctx.save_for_backward(keys, values, query, cosine, sine)


def _gradient(ctx: Any, keys_gradient: Tensor, values_gradient: Tensor) -> tuple[Tensor | None, ...]:
    keys, values, query, *tables = ctx.saved_tensors
    gradients = keys_gradient, values_gradient
    found = backward(*gradients, keys, values, ctx.rate, ctx.kind, query, *tables, ctx.interleaved)
    return found[0], found[1], None, None, None if query is None else found[2], None, None, None


torch.library.register_autograd(forward, _gradient, setup_context=_keep)
