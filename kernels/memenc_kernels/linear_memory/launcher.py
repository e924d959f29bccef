"""Starts the Triton kernels of linear memory, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.arrays import of_vectors
from memenc_kernels.linear_memory import triton as forward_kernels
from memenc_kernels.linear_memory import triton_backward as backward_kernels
from memenc_kernels.linear_memory.arguments import Given
from memenc_kernels.linear_memory.configurations import Configuration, configuration_of


def forward(given: Given, delta: bool) -> tuple[Tensor, ...]:
    """Retrieved, matrix and normaliser after; and for the backward what was before each segment and what it removed."""
    queries = given.queries
    batch, segments, heads, tokens, dim = queries.shape
    configuration = configuration_of(architecture_of(queries.device), dim)
    before = _written(given, delta, configuration)
    retrieved = launch.empty(queries.shape, queries)
    token_blocks = configuration.tokens.blocks_of_tokens(tokens)
    _start(
        forward_kernels.look_up_kernel,
        (batch * segments * heads * token_blocks, configuration.tokens.blocks(dim)), configuration, queries,
        queries=of_vectors(queries), matrices=before[2], normalisers=before[3], known=_bytes(given.known),
        retrieved=retrieved, segments=segments, heads=heads, group=heads // given.keys.shape[2],
        tokens=tokens, token_blocks=token_blocks,
    )  # fmt: skip
    return retrieved, *before


def _written(given: Given, delta: bool, configuration: Configuration) -> tuple[Tensor, ...]:
    """Matrix and normaliser after the last segment and before each, and what each removes."""
    matrix, normaliser = given.matrix.contiguous(), given.normaliser.contiguous()
    batch, segments, heads, tokens, dim = given.keys.shape
    rows, columns = batch * segments * heads, configuration.tokens.blocks(dim)
    added, sums = (launch.empty((batch, segments, *x.shape[1:]), x) for x in (matrix, normaliser))
    matrices, normalisers = launch.empty(added.shape, added), launch.empty(sums.shape, sums)
    matrix_after, normaliser_after = launch.empty(matrix.shape, matrix), launch.empty(normaliser.shape, normaliser)
    removed = launch.empty(added.shape if delta else (0,), added)
    shared = {
        "keys": of_vectors(given.keys), "values": of_vectors(given.values), "complete": _bytes(given.complete),
        "normalisers": normalisers, "added": added, "sums": sums, "removed": removed,
        "segments": segments, "heads": heads, "tokens": tokens, "DELTA": delta,
    }  # fmt: skip
    _start(forward_kernels.written_kernel, (rows, columns), configuration, matrix, **shared)
    _start(
        forward_kernels.normaliser_kernel, (batch * heads,), configuration, matrix,
        start=normaliser, before=normalisers, after=normaliser_after, **shared,
    )  # fmt: skip
    if delta:
        _start(forward_kernels.removed_kernel, (rows, columns), configuration, matrix, **shared)
    _start(
        forward_kernels.matrix_kernel, (batch * heads, configuration.scan.blocks(dim)), configuration, matrix,
        start=matrix, before=matrices, after=matrix_after, **shared,
    )  # fmt: skip
    return matrix_after, normaliser_after, matrices, normalisers, removed


def backward(
    gradients: Sequence[Tensor], given: Given, removed: Tensor, delta: bool, cuts: Tensor | None
) -> tuple[Tensor, ...]:
    """Gradients of queries, keys, values, matrix and normaliser.

    Args:
        gradients: of retrieved, matrix and normaliser.
        given: with matrix and normaliser before each segment, as forward kept them.
        removed: as forward kept it.
        delta: whether the delta rule holds.
        cuts: (segments,) bytes, whether the gradient through the state ends before a segment; None for nowhere.
    """
    configuration = configuration_of(architecture_of(removed.device), given.queries.shape[-1])
    _, segments, heads, tokens, dim = given.keys.shape
    query_gradient, *asked = _look_up_backward(gradients[0], given, configuration)
    shared = {
        "keys": of_vectors(given.keys), "values": of_vectors(given.values), "complete": _bytes(given.complete),
        "matrices": given.matrix, "normalisers": given.normaliser, "removed": removed,
        "segments": segments, "heads": heads, "tokens": tokens, "width": dim,
        "cuts": cuts, "CUT": cuts is not None, "DELTA": delta,
    }  # fmt: skip
    shared["after"], matrix_gradient = _matrix_backward(gradients[1].contiguous(), asked[0], shared, configuration)
    written = _written_backward(gradients[2].contiguous(), given, asked[1], shared, configuration)
    return query_gradient, *written[:2], matrix_gradient, written[2]


def _look_up_backward(gradient: Tensor, given: Given, configuration: Configuration) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the queries, and what the look-ups ask of matrices and normalisers."""
    queries, matrices, normalisers = given.queries, given.matrix, given.normaliser
    batch, segments, heads, tokens, dim = queries.shape
    query_gradient = launch.empty(queries.shape, queries)
    asked = launch.empty(matrices.shape, matrices), launch.empty(normalisers.shape, normalisers)
    token_blocks = configuration.tokens.blocks_of_tokens(tokens)
    shared = {
        "queries": of_vectors(queries), "gradient": of_vectors(gradient), "matrices": matrices,
        "normalisers": normalisers, "known": _bytes(given.known), "fades": launch.empty(queries.shape[:-1], matrices),
        "segments": segments, "heads": heads, "group": heads // matrices.shape[2],
        "tokens": tokens, "token_blocks": token_blocks,
    }  # fmt: skip
    _start(
        backward_kernels.queries_backward_kernel, (batch * segments * heads * token_blocks,), configuration, queries,
        query_gradient=query_gradient, **shared,
    )  # fmt: skip
    _start(
        backward_kernels.look_up_backward_kernel,
        (batch * segments * matrices.shape[2], configuration.asked.blocks(dim)), configuration, queries,
        matrix_gradient=asked[0], normaliser_gradient=asked[1], **shared,
    )  # fmt: skip
    return query_gradient, *asked


def _matrix_backward(
    last: Tensor, asked: Tensor, shared: dict[str, Any], configuration: Configuration
) -> tuple[Tensor, Tensor]:
    """Gradients of the matrices after each segment, and of the one before the first."""
    batch, _, heads, dim, _ = asked.shape
    after, start_gradient = launch.empty(asked.shape, asked), launch.empty(last.shape, asked)
    _start(
        backward_kernels.matrix_backward_kernel, (batch * heads, configuration.scan.blocks(dim)), configuration, last,
        last=last, asked=asked, after=after, start_gradient=start_gradient, **shared,
    )  # fmt: skip
    return after, start_gradient


def _written_backward(
    last: Tensor, given: Given, asked: Tensor, shared: dict[str, Any], configuration: Configuration
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of keys, values and the normaliser before the first segment."""
    keys, values = given.keys, given.values
    batch, segments, heads, tokens, _ = keys.shape
    rows, slopes = batch * segments * heads, launch.empty(keys.shape[:-1] if shared["DELTA"] else (0,), last)
    if shared["DELTA"]:
        _start(
            backward_kernels.known_backward_kernel, (rows,), configuration, last,
            asked=asked, slopes=slopes, **shared,
        )  # fmt: skip
    sums_after, start_gradient = launch.empty(asked.shape, asked), launch.empty(last.shape, asked)
    _start(
        backward_kernels.normaliser_backward_kernel, (batch * heads,), configuration, last,
        last=last, asked=asked, start_gradient=start_gradient, **shared | {"after": sums_after},
    )  # fmt: skip
    key_gradient, value_gradient = launch.empty(keys.shape, keys), launch.empty(values.shape, values)
    token_blocks = configuration.keys.blocks_of_tokens(tokens)
    _start(
        backward_kernels.keys_backward_kernel, (rows * token_blocks,), configuration, last,
        sums_after=sums_after, slopes=slopes, key_gradient=key_gradient, value_gradient=value_gradient,
        token_blocks=token_blocks, **shared,
    )  # fmt: skip
    return key_gradient, value_gradient, start_gradient


def _start(kernel: Any, grid: tuple[int, ...], configuration: Configuration, like: Tensor, **arguments: Any) -> None:
    launch.start(kernel, grid, like, **arguments, **configuration.of(kernel.fn.__name__))


def _bytes(mask: Tensor) -> Tensor:
    return mask.to(torch.uint8).contiguous()
