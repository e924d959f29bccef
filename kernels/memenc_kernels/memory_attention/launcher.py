"""Starts the Triton kernels of memory attention, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.arrays import Array, of_numbers, of_vectors
from memenc_kernels.memory_attention import triton as forward_kernels
from memenc_kernels.memory_attention import triton_backward as backward_kernels
from memenc_kernels.memory_attention.blocks import Entries, Seen
from memenc_kernels.memory_attention.configurations import configuration, rounded_dim
from memenc_kernels.memory_attention.line import Line


def forward(tensors: Sequence[Any], lines: Sequence[Line], results: Sequence[Tensor], options: Sequence[Any]) -> None:
    """Fill `results`: output, log weight and ranges.

    Args:
        tensors: queries, keys, values, valid.
        lines: of which `positions` say what is out of the window.
        results: as `memenc_kernels.memory_attention.operators.results_like` makes them.
        options: scaling, causal, sliding_window.
    """
    queries, *_ = tensors
    output, log_weight, ranges = results
    scaling, causal, window = options
    seen = _seen(tensors, lines, ranges, window)
    if seen.own_valid is not None or any(line.valid is not None for line in lines):
        launch.start(forward_kernels.ranges_kernel, (len(queries),), queries, seen=seen, LINES=len(lines), BLOCK=1024)
    _start(
        forward_kernels.forward_kernel, queries, (len(queries), queries.shape[2], queries.shape[1]),
        queries=_array(queries), seen=seen, output=_array(output), log_weight=log_weight,
        scaling=scaling, LINES=len(lines), CAUSAL=causal, ALIGNED=_is_aligned(seen.lines),
    )  # fmt: skip


def backward(
    tensors: Sequence[Any],
    lines: Sequence[Line],
    given: Sequence[Tensor | None],
    gradients: Sequence[Tensor],
    options: Sequence[Any],
) -> None:
    """Fill `gradients`: of queries, keys and values, and of keys, values and bias of every line.

    Args:
        tensors: as in the forward pass.
        lines: likewise.
        given: output, log weight and ranges of the forward pass, and the gradients of the first two, or None.
        gradients: in the order of `memenc_kernels.memory_attention.operators.gradients_like`.
        options: as in the forward pass.
    """
    queries, keys, *_ = tensors
    output, log_weight, ranges, output_gradient, log_weight_gradient = given
    assert output is not None and log_weight is not None
    if output_gradient is None:
        output_gradient = output.new_zeros(()).expand_as(output)
    scaling, causal, window = options
    change = launch.empty(log_weight.shape, log_weight)
    asked = backward_kernels.Asked(_array(queries), _array(output_gradient), log_weight, change)
    seen = _seen(tensors, lines, ranges, window)
    common = {"seen": seen, "asked": asked, "scaling": scaling}
    _start(
        backward_kernels.queries_kernel, queries, (len(queries), queries.shape[2], queries.shape[1]),
        output=_array(output), query_gradient=_array(gradients[0]),
        log_weight_gradient=None if log_weight_gradient is None else _array(log_weight_gradient),
        LINES=len(lines), CAUSAL=causal, ALIGNED=_is_aligned(seen.lines), **common,
    )  # fmt: skip
    _start(
        backward_kernels.tokens_kernel, queries, (len(keys), keys.shape[2], keys.shape[1]),
        key_gradient=_array(gradients[1]), value_gradient=_array(gradients[2]), CAUSAL=causal, **common,
    )  # fmt: skip
    # What it has no use for costs registers on AMD.
    common["seen"] = seen._replace(own_keys=None, own_values=None, own_valid=None)
    rest = iter(gradients[3:])
    for index, line in enumerate(lines):
        entries = [next(rest) for _ in line.entry_tensors()]
        _line_backward(queries, line, index, entries, None if line.bias is None else next(rest), common)


def _line_backward(
    queries: Tensor, line: Line, index: int, entries: list[Tensor], bias: Tensor | None, common: dict[str, Any]
) -> None:
    """Gradients of one line; that of the bias is a sum over rows, each written by one program."""
    batch, heads, _, _ = line.head_keys.shape
    places = line.entries + (0 if line.body_keys is None else line.body_keys.shape[1] * line.step)
    parts = None if bias is None else launch.empty((len(queries), len(bias), line.entries), bias, torch.float32)
    _start(
        backward_kernels.entries_kernel, queries, (batch, places, heads),
        gradients=_entries(Line(*entries)), bias_gradient=None if parts is None else _array(parts), places=places,
        INDEX=index, ALIGNED=_is_aligned(common["seen"].lines), **common,
    )  # fmt: skip
    if bias is not None and parts is not None:
        bias.copy_(parts.sum(0))


def _seen(tensors: Sequence[Any], lines: Sequence[Line], ranges: Tensor | None, window: int | None) -> Seen:
    queries, keys, values, valid = tensors
    rows, heads, tokens, _ = queries.shape
    return Seen(
        own_keys=_array(keys),
        own_values=_array(values),
        own_valid=None if valid is None else _array(valid),
        ranges=ranges,
        lines=tuple(map(_entries, lines)),
        segments=rows // len(lines[0].head_keys) if lines else 1,
        tokens=tokens,
        heads=heads,
        group=heads // keys.shape[1],
        window=window,
    )


def _entries(line: Line) -> Entries:
    names = ("head_keys", "head_values", "body_keys", "body_values", "valid", "bias")
    arrays = {name: None if (each := getattr(line, name)) is None else _array(each) for name in names}
    return Entries(**arrays, positions=line.positions, entries=line.entries, step=line.step)


def _array(tensor: Tensor) -> Array:
    """A tensor as kernels read it: vectors have four axes or more."""
    return of_numbers(tensor) if tensor.dim() < 4 else of_vectors(tensor)


def _is_aligned(lines: Sequence[Entries]) -> bool:
    """Whether every entry of every line begins at a multiple of 16 bytes."""
    arrays = [each for line in lines for each in line[:4] if each is not None]
    sizes = [stride * array.start.element_size() for array in arrays for stride in array.strides]
    return all(size % 16 == 0 for size in (*sizes, *(array.start.data_ptr() for array in arrays)))


def _start(kernel: Any, like: Tensor, sizes: tuple[int, int, int], **arguments: Any) -> None:
    """Start a kernel on (rows, places in blocks, heads), configured for queries like these on their device."""
    name = kernel.__name__.removesuffix("_kernel")
    tokens, dim = like.shape[2:]
    block_dim = rounded_dim(dim)
    sliding = arguments["seen"].window is not None
    chosen = configuration(architecture_of(like.device), name, block_dim, like.element_size(), tokens, sliding)
    rows, places, heads = sizes
    block = chosen.queries if name in ("forward", "queries") else chosen.keys
    launch.start(
        kernel, (rows * -(-places // block), heads), like, DIM=dim, BLOCK_DIM=block_dim,
        BLOCK_QUERIES=chosen.queries, BLOCK_KEYS=chosen.keys, num_warps=chosen.warps, num_stages=chosen.stages,
        **arguments,
    )  # fmt: skip
