"""Memory attention as an operator of torch: forward, backward and the autograd formula that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.checks import type_refusal
from memenc_kernels.library import define
from memenc_kernels.memory_attention.line import Line

MOST_LINES = 2
LARGEST_DIM = 128
PARTS = tuple(field.name for field in fields(Line))
# Autograd formulas do not reach into lists, so every tensor of every line is an argument of its own.
_TENSORS = ", ".join(f"Tensor? {part}_{index}" for index in range(MOST_LINES) for part in PARTS)
_INPUTS = f"Tensor queries, Tensor keys, Tensor values, Tensor? valid, {_TENSORS}"
_OPTIONS = "float scaling, bool causal, int? sliding_window"
_COUNT = 4 + MOST_LINES * len(PARTS)


def refusal(queries: Tensor, lines: int, dropout: float) -> str | None:
    """Why the kernel cannot do this, None if it can."""
    dim = queries.shape[-1]
    if lines > MOST_LINES:
        return f"there are {lines} lines of memory, the kernel reads at most {MOST_LINES}"
    if not 1 <= dim <= LARGEST_DIM:
        return f"heads have {dim} dimensions, the kernel takes up to {LARGEST_DIM}"
    if dropout > 0:
        return f"dropout is {dropout}, the kernel has none"
    if 0 in queries.shape:
        return f"queries have the shape {tuple(queries.shape)}, which is empty"
    return type_refusal(queries)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    valid: Tensor | None,
    lines: Sequence[Line],
    scaling: float,
    causal: bool,
    sliding_window: int | None,
    memory_in_sliding_window: bool,
) -> tuple[Tensor, Tensor]:
    """Output and log weight of checked arguments."""
    tensors: list[Tensor | None] = [queries, keys, values, valid]
    for line in lines:
        # Kernels hold a line to the sliding window if it has positions.
        used = sliding_window is not None and memory_in_sliding_window
        named = {part: getattr(line, part) for part in PARTS}
        named["bias"] = None if line.bias is None else line.bias.expand(-1, line.entries)
        named["positions"] = line.positions.float().contiguous() if used and line.positions is not None else None
        tensors += named.values()
    tensors += [None] * (_COUNT - len(tensors))
    output, log_weight, _ = _forward(*tensors, scaling, causal, sliding_window)
    return output, log_weight[..., None]


def lines_of(tensors: Sequence[Tensor | None]) -> list[Line]:
    """The lines among the flat arguments."""
    parts = [tensors[4 + start : 4 + start + len(PARTS)] for start in range(0, MOST_LINES * len(PARTS), len(PARTS))]
    return [Line(*each) for each in parts if each[0] is not None]  # pyright: ignore[reportArgumentType]


def results_like(queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for output, log weight, and the ranges of keys of every row between which all valid ones lie."""
    rows, heads, tokens, _ = queries.shape
    return (
        like_tokens(queries),
        launch.empty((rows, heads, tokens), queries, torch.float32),
        launch.empty((rows, 3 + 2 * MOST_LINES), queries, torch.int32),
    )


def like_tokens(tensor: Tensor) -> Tensor:
    """Memory in the shape of (rows, heads, tokens, dim), the heads of a token side by side as backbones want them."""
    rows, heads, tokens, dim = tensor.shape
    return launch.empty((rows, tokens, heads, dim), tensor).transpose(1, 2)


def gradients_like(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    """Memory for the gradients of queries, keys and values, and of keys, values and bias of every line."""
    queries, keys, values = tensors[:3]
    assert queries is not None and keys is not None and values is not None
    gradients = [like_tokens(queries), like_tokens(keys), like_tokens(values)]
    for line in lines_of(tensors):
        gradients += [launch.empty(entry.shape, entry) for entry in line.entry_tensors().values()]
        if line.bias is not None:
            gradients.append(launch.empty(line.bias.shape, line.bias))
    return gradients


def _run_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    from memenc_kernels.memory_attention.launcher import forward

    results = results_like(arguments[0])
    forward(arguments[:4], lines_of(arguments), results, arguments[_COUNT:])
    return results


def _run_backward(*arguments: Any) -> list[Tensor]:
    from memenc_kernels.memory_attention.launcher import backward

    tensors, given, options = arguments[:_COUNT], arguments[_COUNT : _COUNT + 5], arguments[_COUNT + 5 :]
    gradients = gradients_like(tensors)
    backward(tensors[:4], lines_of(tensors), given, gradients, options)
    return gradients


_forward = define(
    "memory_attention",
    f"({_INPUTS}, {_OPTIONS}) -> (Tensor, Tensor, Tensor)",
    _run_forward,
    lambda *arguments: results_like(arguments[0]),
)
_backward = define(
    "memory_attention_backward",
    f"({_INPUTS}, Tensor output, Tensor log_weight, Tensor ranges, Tensor? output_gradient, "
    f"Tensor? log_weight_gradient, {_OPTIONS}) -> Tensor[]",
    _run_backward,
    lambda *arguments: gradients_like(arguments[:_COUNT]),
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:_COUNT], *output)
    ctx.options = inputs[_COUNT:]
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    found = iter(_backward(*ctx.saved_tensors, *gradients[:2], *ctx.options))
    tensors = ctx.saved_tensors[:_COUNT]
    # In the order of gradients_like; masks and positions have none.
    differentiable = [True, True, True, False, *[part not in ("valid", "positions") for part in PARTS] * MOST_LINES]
    flat = [next(found) if has and x is not None else None for x, has in zip(tensors, differentiable, strict=True)]
    return (*flat, None, None, None)


torch.library.register_autograd("memenc_kernels::memory_attention", _gradients, setup_context=_setup_context)
