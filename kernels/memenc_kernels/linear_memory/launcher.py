"""Starts the Triton kernels of linear memory, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.checks import with_unit_stride
from memenc_kernels.linear_memory import triton as forward_kernels
from memenc_kernels.linear_memory import triton_backward as backward_kernels
from memenc_kernels.linear_memory.configurations import Configuration, configuration_of


def forward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    matrix: Tensor,
    normaliser: Tensor,
    complete: Tensor,
    known: Tensor,
    delta: bool,
) -> tuple[Tensor, ...]:
    """Retrieved, matrix and normaliser after; and for the backward what was before each segment and what it removed."""
    configuration = configuration_of(architecture_of(queries.device), queries.shape[-1])
    queries, keys, values = (with_unit_stride(x) for x in (queries, keys, values))
    matrix, normaliser = matrix.contiguous(), normaliser.contiguous()
    complete, known = (x.to(torch.uint8).contiguous() for x in (complete, known))
    before = _written(keys, values, matrix, normaliser, complete, delta, configuration)
    retrieved = launch.empty(queries.shape, queries)
    batch, segments, heads, tokens, dim = queries.shape
    token_blocks = configuration.tokens.blocks_of_tokens(tokens)
    _start(
        forward_kernels.look_up_kernel,
        (batch * segments * heads * token_blocks, configuration.tokens.blocks(dim)), configuration,
        queries=queries, matrices=before[2], normalisers=before[3], known=known, retrieved=retrieved,
        **_strides("query", queries), segments=segments, heads=heads, group=heads // keys.shape[2],
        tokens=tokens, token_blocks=token_blocks,
    )  # fmt: skip
    return retrieved, *before


def _written(
    keys: Tensor,
    values: Tensor,
    matrix: Tensor,
    normaliser: Tensor,
    complete: Tensor,
    delta: bool,
    configuration: Configuration,
) -> tuple[Tensor, ...]:
    """Matrix and normaliser after the last segment and before each, and what each removes."""
    batch, segments, heads, tokens, dim = keys.shape
    rows, columns = batch * segments * heads, configuration.tokens.blocks(dim)
    added, sums = (launch.empty((batch, segments, *x.shape[1:]), x) for x in (matrix, normaliser))
    matrices, normalisers = launch.empty(added.shape, added), launch.empty(sums.shape, sums)
    matrix_after, normaliser_after = launch.empty(matrix.shape, matrix), launch.empty(normaliser.shape, normaliser)
    shape = {"segments": segments, "heads": heads, "complete": complete}
    of_keys = {"keys": keys, **_strides("key", keys), "tokens": tokens, **shape}
    _start(
        forward_kernels.written_kernel, (rows, columns), configuration,
        values=values, **_strides("value", values), added=added, sums=sums, **of_keys,
    )  # fmt: skip
    _start(
        forward_kernels.normaliser_kernel, (batch * heads,), configuration,
        start=normaliser, sums=sums, before=normalisers, after=normaliser_after, **shape,
    )  # fmt: skip
    removed = launch.empty(added.shape if delta else (0,), added)
    if delta:
        arguments = {"normalisers": normalisers, "removed": removed, **of_keys}
        _start(forward_kernels.removed_kernel, (rows, columns), configuration, **arguments)
    _start(
        forward_kernels.matrix_kernel, (batch * heads, configuration.scan.blocks(dim)), configuration,
        start=matrix, removed=removed, added=added, before=matrices, after=matrix_after, DELTA=delta, **shape,
    )  # fmt: skip
    return matrix_after, normaliser_after, matrices, normalisers, removed


def backward(
    gradients: tuple[Tensor, Tensor, Tensor],
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    before: tuple[Tensor, Tensor, Tensor],
    complete: Tensor,
    known: Tensor,
    delta: bool,
    cuts: Tensor | None,
) -> tuple[Tensor, ...]:
    """Gradients of queries, keys, values, matrix, normaliser; `before` is what forward kept for this."""
    configuration = configuration_of(architecture_of(queries.device), queries.shape[-1])
    gradient, queries, keys, values = (with_unit_stride(x) for x in (gradients[0], queries, keys, values))
    complete, known = (x.to(torch.uint8).contiguous() for x in (complete, known))
    query_gradient, asked = _look_up_backward(gradient, queries, before, known, configuration)
    ends = {"complete": complete, "cuts": cuts, "CUT": cuts is not None, "DELTA": delta}
    scanned = _matrix_backward(gradients[1].contiguous(), before[2], asked[0], ends, configuration)
    written = _written_backward(
        gradients[2].contiguous(), keys, values, before, scanned[0], asked[1], ends, configuration
    )
    return query_gradient, *written[:2], scanned[1], written[2]


def _look_up_backward(
    gradient: Tensor, queries: Tensor, before: tuple[Tensor, ...], known: Tensor, configuration: Configuration
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Gradient of the queries, and what the look-ups ask of matrices and normalisers."""
    matrices, normalisers, _ = before
    batch, segments, heads, tokens, dim = queries.shape
    query_gradient = launch.empty(queries.shape, queries)
    fades = launch.empty(queries.shape[:-1], matrices)
    asked = launch.empty(matrices.shape, matrices), launch.empty(normalisers.shape, normalisers)
    token_blocks = configuration.tokens.blocks_of_tokens(tokens)
    shared = {
        "queries": queries, **_strides("query", queries), "gradient": gradient, **_strides("gradient", gradient),
        "normalisers": normalisers, "known": known, "fades": fades, "segments": segments, "heads": heads,
        "group": heads // matrices.shape[2], "tokens": tokens,
    }  # fmt: skip
    _start(
        backward_kernels.queries_backward_kernel, (batch * segments * heads * token_blocks,), configuration,
        matrices=matrices, query_gradient=query_gradient, token_blocks=token_blocks, **shared,
    )  # fmt: skip
    _start(
        backward_kernels.look_up_backward_kernel,
        (batch * segments * matrices.shape[2], configuration.asked.blocks(dim)), configuration,
        matrix_gradient=asked[0], normaliser_gradient=asked[1], **shared,
    )  # fmt: skip
    return query_gradient, asked


def _matrix_backward(
    last: Tensor, removed: Tensor, asked: Tensor, ends: dict[str, Any], configuration: Configuration
) -> tuple[Tensor, Tensor]:
    """Gradients of the matrices after each segment, and of the one before the first."""
    batch, segments, heads, dim, _ = asked.shape
    after, start_gradient = launch.empty(asked.shape, asked), launch.empty(last.shape, asked)
    _start(
        backward_kernels.matrix_backward_kernel, (batch * heads, configuration.scan.blocks(dim)), configuration,
        last=last, removed=removed, asked=asked, after=after, start_gradient=start_gradient,
        segments=segments, heads=heads, **ends,
    )  # fmt: skip
    return after, start_gradient


def _written_backward(
    last: Tensor,
    keys: Tensor,
    values: Tensor,
    before: tuple[Tensor, ...],
    after: Tensor,
    asked: Tensor,
    ends: dict[str, Any],
    configuration: Configuration,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of keys, values and the normaliser before the first segment."""
    matrices, normalisers, _ = before
    batch, segments, heads, tokens, dim = keys.shape
    slopes = launch.empty(keys.shape[:-1] if ends["DELTA"] else (0,), matrices)
    of_keys = {
        "keys": keys, **_strides("key", keys), "tokens": tokens, "width": dim, "matrices": matrices,
        "normalisers": normalisers, "after": after, "slopes": slopes, "segments": segments, "heads": heads,
        "complete": ends["complete"],
    }  # fmt: skip
    if ends["DELTA"]:
        rows = (batch * segments * heads,)
        _start(backward_kernels.known_backward_kernel, rows, configuration, asked=asked, **of_keys)
    sums_after, start_gradient = launch.empty(asked.shape, asked), launch.empty(last.shape, asked)
    _start(
        backward_kernels.normaliser_backward_kernel, (batch * heads,), configuration,
        last=last, asked=asked, cuts=ends["cuts"], CUT=ends["CUT"], after=sums_after, start_gradient=start_gradient,
        segments=segments, heads=heads,
    )  # fmt: skip
    key_gradient, value_gradient = launch.empty(keys.shape, keys), launch.empty(values.shape, values)
    token_blocks = configuration.keys.blocks_of_tokens(tokens)
    _start(
        backward_kernels.keys_backward_kernel, (batch * segments * heads * token_blocks,), configuration,
        values=values, **_strides("value", values), sums_after=sums_after, key_gradient=key_gradient,
        value_gradient=value_gradient, token_blocks=token_blocks, DELTA=ends["DELTA"], **of_keys,
    )  # fmt: skip
    return key_gradient, value_gradient, start_gradient


def _start(kernel: Any, grid: tuple[int, ...], configuration: Configuration, **arguments: Any) -> None:
    like = next(x for x in arguments.values() if isinstance(x, Tensor))
    launch.start(kernel, grid, like, **arguments, **configuration.of(kernel))


def _strides(name: str, x: Tensor) -> dict[str, int]:
    batch, segment, head, token, _ = x.stride()
    return {f"{name}_batch": batch, f"{name}_segment": segment, f"{name}_head": head, f"{name}_token": token}
