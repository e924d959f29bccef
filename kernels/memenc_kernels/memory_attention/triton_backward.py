"""Gradients of memory attention in Triton; every number is written by one program, so they are deterministic."""

# Type checkers take the language of kernels for Python.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.memory_attention.line import Line
from memenc_kernels.memory_attention.triton import (
    LOG2_E,
    as_numbers,
    block_arguments,
    chosen_configuration,
    common_arguments,
    is_aligned,
    line_addend,
    line_arguments,
    line_distance,
    line_pointers,
    load_block,
    own_addend,
    own_pairs,
    own_reach,
    store_block,
)


@triton.jit
def load_weight(log_weight, asking, tokens):
    """Log weight of queries to base two; +inf where nothing is seen, so that all shares are 0."""
    weight = tl.load(log_weight + asking, mask=asking < tokens, other=float("inf")) * LOG2_E
    return tl.where(weight == float("-inf"), float("inf"), weight)


@triton.jit
def query_block(sums, queries, keys, values, gradient, weight, change, scaling, addend, pairs):
    """Add one block of keys to the gradient of queries."""
    logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scaling + addend[None, :]
    shares = tl.exp2(logits - weight[:, None])
    if pairs is not None:
        shares = tl.where(pairs, shares, 0.0)
    wanted = tl.dot(gradient, tl.trans(values), input_precision="ieee") - change[:, None]
    return sums + tl.dot((shares * wanted).to(keys.dtype), keys, input_precision="ieee")


@triton.jit
def queries_kernel(
    queries,
    keys,
    values,
    valid,
    ranges,
    output,
    log_weight,
    output_gradient,
    log_weight_gradient,
    change,
    query_gradient,
    query_strides,
    key_strides,
    value_strides,
    valid_strides,
    output_strides,
    output_gradient_strides,
    log_weight_gradient_strides,
    query_gradient_strides,
    lines,
    segments,
    tokens,
    heads,
    group,
    scaling,
    window,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    CAUSAL: tl.constexpr,
    SLIDING: tl.constexpr,
    SLIDING_MEMORY: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Gradient of a block of queries; and `change`, what the other kernels take off the gradient of every share."""
    blocks = tl.cdiv(tokens, BLOCK_QUERIES)
    row, start = (tl.program_id(0) // blocks).to(tl.int64), (tl.program_id(0) % blocks) * BLOCK_QUERIES
    head = tl.program_id(1).to(tl.int64)
    batch, segment, shared = row // segments, row % segments, head // group
    dims, asking = tl.arange(0, BLOCK_DIM), start + tl.arange(0, BLOCK_QUERIES)
    there, far_asking = asking < tokens, asking.to(tl.int64)
    asked = load_block(
        queries + row * query_strides[0] + head * query_strides[1] + far_asking * query_strides[2], there, dims, DIM
    )
    at = output_gradient + row * output_gradient_strides[0] + head * output_gradient_strides[1]
    gradient = load_block(at + far_asking * output_gradient_strides[2], there, dims, DIM)
    at = output + row * output_strides[0] + head * output_strides[1] + far_asking * output_strides[2]
    given = load_block(at, there, dims, DIM)
    weight = load_weight(log_weight + (row * heads + head) * tokens, asking, tokens)
    taken = tl.sum(given.to(tl.float32) * gradient.to(tl.float32), 1)
    if log_weight_gradient is not None:
        at = log_weight_gradient + row * log_weight_gradient_strides[0] + head * log_weight_gradient_strides[1]
        taken -= tl.load(at + far_asking * log_weight_gradient_strides[2], mask=there, other=0.0)
    taken = tl.where(weight == float("inf"), 0.0, taken)
    tl.store(change + (row * heads + head) * tokens + asking, taken, mask=there)
    base_two = scaling * LOG2_E
    sums = tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32)

    for index in tl.static_range(len(lines)):
        line = lines[index]
        first, last = 0, line.entries
        if line.valid is not None:
            first = tl.load(ranges + row * 7 + 3 + 2 * index) // BLOCK_KEYS * BLOCK_KEYS
            last = tl.load(ranges + row * 7 + 4 + 2 * index)
        for begin in range(first, last, BLOCK_KEYS):
            entry = begin + tl.arange(0, BLOCK_KEYS)
            inside = entry < line.entries
            at_keys, at_values = line_pointers(line, batch, shared, segment.to(tl.int32) * line.step + entry, ALIGNED)
            addend = line_addend(line, batch, segment, head, entry, inside)
            block = load_block(at_keys, inside, dims, DIM)
            contents = load_block(at_values, inside, dims, DIM)
            if SLIDING_MEMORY and line.positions is not None:
                pairs = line_distance(line, asking, entry, inside) < window
                sums = query_block(sums, asked, block, contents, gradient, weight, taken, base_two, addend, pairs)
            else:
                sums = query_block(sums, asked, block, contents, gradient, weight, taken, base_two, addend, None)

    first, last, forced = 0, tokens, 0
    if valid is not None:
        first = tl.load(ranges + row * 7) // BLOCK_KEYS * BLOCK_KEYS
        last = tl.load(ranges + row * 7 + 1)
        forced = tl.load(ranges + row * 7 + 2)
    first, last = own_reach(first, last, start, window, BLOCK_QUERIES, CAUSAL, SLIDING)
    for begin in range(first, last, BLOCK_KEYS):
        token = begin + tl.arange(0, BLOCK_KEYS)
        inside, far = token < tokens, token.to(tl.int64)
        block = load_block(
            keys + row * key_strides[0] + shared * key_strides[1] + far * key_strides[2], inside, dims, DIM
        )
        contents = load_block(
            values + row * value_strides[0] + shared * value_strides[1] + far * value_strides[2], inside, dims, DIM
        )
        addend = own_addend(valid, valid_strides, row, token, inside, forced)
        if CAUSAL or SLIDING:
            pairs = own_pairs(asking, token, window, CAUSAL, SLIDING)
            sums = query_block(sums, asked, block, contents, gradient, weight, taken, base_two, addend, pairs)
        else:
            sums = query_block(sums, asked, block, contents, gradient, weight, taken, base_two, addend, None)

    at = query_gradient + row * query_gradient_strides[0] + head * query_gradient_strides[1]
    store_block(at + far_asking * query_gradient_strides[2], sums * scaling, there, dims, DIM)


@triton.jit
def key_block(
    key_sums,
    value_sums,
    addend_sums,
    keys,
    values,
    addend,
    pairs,
    asking,
    queries,
    query_strides,
    output_gradient,
    output_gradient_strides,
    log_weight,
    change,
    tokens,
    base_two,
    dims,
    DIM: tl.constexpr,
):
    """Add one block of queries to the gradients of keys, values and addends; pointers are those of row and head."""
    there, far = asking < tokens, asking.to(tl.int64)
    asked = load_block(queries + far * query_strides[2], there, dims, DIM)
    gradient = load_block(output_gradient + far * output_gradient_strides[2], there, dims, DIM)
    weight = load_weight(log_weight, asking, tokens)
    taken = tl.load(change + asking, mask=there, other=0.0)
    logits = tl.dot(keys, tl.trans(asked), input_precision="ieee") * base_two + addend[:, None]
    shares = tl.exp2(logits - weight[None, :])
    if pairs is not None:
        shares = tl.where(pairs, shares, 0.0)
    value_sums += tl.dot(shares.to(gradient.dtype), gradient, input_precision="ieee")
    wanted = tl.dot(values, tl.trans(gradient), input_precision="ieee") - taken[None, :]
    through = shares * wanted
    key_sums += tl.dot(through.to(asked.dtype), asked, input_precision="ieee")
    return key_sums, value_sums, addend_sums + tl.sum(through, 1)


@triton.jit
def tokens_kernel(
    queries,
    keys,
    values,
    valid,
    ranges,
    log_weight,
    output_gradient,
    change,
    key_gradient,
    value_gradient,
    query_strides,
    key_strides,
    value_strides,
    valid_strides,
    output_gradient_strides,
    key_gradient_strides,
    value_gradient_strides,
    tokens,
    heads,
    group,
    scaling,
    window,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    CAUSAL: tl.constexpr,
    SLIDING: tl.constexpr,
):
    """Gradients of a block of own keys and values, over all queries of the row that may see them."""
    blocks = tl.cdiv(tokens, BLOCK_KEYS)
    row, begin = (tl.program_id(0) // blocks).to(tl.int64), (tl.program_id(0) % blocks) * BLOCK_KEYS
    shared = tl.program_id(1).to(tl.int64)
    dims, token = tl.arange(0, BLOCK_DIM), begin + tl.arange(0, BLOCK_KEYS)
    inside, far = token < tokens, token.to(tl.int64)
    block = load_block(keys + row * key_strides[0] + shared * key_strides[1] + far * key_strides[2], inside, dims, DIM)
    contents = load_block(
        values + row * value_strides[0] + shared * value_strides[1] + far * value_strides[2], inside, dims, DIM
    )
    first, last, forced = 0, tokens, 0
    if valid is not None:
        forced = tl.load(ranges + row * 7 + 2)
        # No valid key in this block: no query is asked.
        seen = (tl.load(ranges + row * 7) < begin + BLOCK_KEYS) & (tl.load(ranges + row * 7 + 1) > begin)
        last = tl.where(seen, tokens, 0)
    if CAUSAL:
        first = begin // BLOCK_QUERIES * BLOCK_QUERIES
    if SLIDING:
        first = tl.maximum(first, (begin - window + 1) // BLOCK_QUERIES * BLOCK_QUERIES)
        last = tl.minimum(last, begin + BLOCK_KEYS + window - 1)
    addend = own_addend(valid, valid_strides, row, token, inside, forced)
    key_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    value_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    addend_sums = tl.zeros([BLOCK_KEYS], tl.float32)
    for member in range(group):
        head = shared * group + member
        flat = (row * heads + head) * tokens
        at_queries = queries + row * query_strides[0] + head * query_strides[1]
        at_gradient = output_gradient + row * output_gradient_strides[0] + head * output_gradient_strides[1]
        for start in range(first, last, BLOCK_QUERIES):
            asking = start + tl.arange(0, BLOCK_QUERIES)
            pairs = None
            if CAUSAL or SLIDING:
                pairs = tl.trans(own_pairs(asking, token, window, CAUSAL, SLIDING))
            key_sums, value_sums, addend_sums = key_block(
                key_sums,
                value_sums,
                addend_sums,
                block,
                contents,
                addend,
                pairs,
                asking,
                at_queries,
                query_strides,
                at_gradient,
                output_gradient_strides,
                log_weight + flat,
                change + flat,
                tokens,
                scaling * LOG2_E,
                dims,
                DIM,
            )
    at = key_gradient + row * key_gradient_strides[0] + shared * key_gradient_strides[1]
    store_block(at + far * key_gradient_strides[2], key_sums * scaling, inside, dims, DIM)
    at = value_gradient + row * value_gradient_strides[0] + shared * value_gradient_strides[1]
    store_block(at + far * value_gradient_strides[2], value_sums, inside, dims, DIM)


@triton.jit
def entries_kernel(
    queries,
    ranges,
    log_weight,
    output_gradient,
    change,
    bias_gradient,
    query_strides,
    output_gradient_strides,
    bias_gradient_strides,
    lines,
    gradients,
    places,
    segments,
    tokens,
    heads,
    group,
    scaling,
    window,
    INDEX: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    SLIDING_MEMORY: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Gradients of a block of places of a line, over the segments that see them, which lie one behind another."""
    line, gradient_line = lines[0], gradients[0]
    blocks = tl.cdiv(places, BLOCK_KEYS)
    batch, begin = (tl.program_id(0) // blocks).to(tl.int64), (tl.program_id(0) % blocks) * BLOCK_KEYS
    shared = tl.program_id(1).to(tl.int64)
    dims, place = tl.arange(0, BLOCK_DIM), begin + tl.arange(0, BLOCK_KEYS)
    there = place < places
    at_keys, at_values = line_pointers(line, batch, shared, place, ALIGNED)
    block, contents = load_block(at_keys, there, dims, DIM), load_block(at_values, there, dims, DIM)
    earliest, latest = 0, 0
    if line.body_keys is not None:
        earliest = tl.maximum(begin - line.entries + line.step, 0) // line.step
        latest = tl.minimum(segments - 1, (begin + BLOCK_KEYS - 1) // line.step)
    key_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    value_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    for segment in range(earliest, latest + 1):
        row = batch * segments + segment
        entry = place - segment * line.step
        inside = there & (entry >= 0) & (entry < line.entries)
        last = tokens
        if line.valid is not None:
            low = tl.load(ranges + row * 7 + 3 + 2 * INDEX) + segment * line.step
            high = tl.load(ranges + row * 7 + 4 + 2 * INDEX) + segment * line.step
            last = tl.where((low < begin + BLOCK_KEYS) & (high > begin), tokens, 0)
        for member in range(group):
            head = shared * group + member
            flat = (row * heads + head) * tokens
            addend = line_addend(line, batch, segment, head, entry, inside)
            addend_sums = tl.zeros([BLOCK_KEYS], tl.float32)
            at_queries = queries + row * query_strides[0] + head * query_strides[1]
            at_gradient = output_gradient + row * output_gradient_strides[0] + head * output_gradient_strides[1]
            for start in range(0, last, BLOCK_QUERIES):
                asking = start + tl.arange(0, BLOCK_QUERIES)
                pairs = None
                if SLIDING_MEMORY and line.positions is not None:
                    pairs = tl.trans(line_distance(line, asking, entry, inside)) < window
                key_sums, value_sums, addend_sums = key_block(
                    key_sums,
                    value_sums,
                    addend_sums,
                    block,
                    contents,
                    addend,
                    pairs,
                    asking,
                    at_queries,
                    query_strides,
                    at_gradient,
                    output_gradient_strides,
                    log_weight + flat,
                    change + flat,
                    tokens,
                    scaling * LOG2_E,
                    dims,
                    DIM,
                )
            if line.bias is not None:
                at = bias_gradient + row * bias_gradient_strides[0] + head * bias_gradient_strides[1]
                tl.store(at + entry, addend_sums, mask=inside)
    at_keys, at_values = line_pointers(gradient_line, batch, shared, place, False)
    store_block(at_keys, key_sums * scaling, there, dims, DIM)
    store_block(at_values, value_sums, there, dims, DIM)


def backward(
    tensors: Sequence[Any],
    lines: Sequence[Line],
    given: Sequence[Tensor | None],
    gradients: Sequence[Tensor],
    options: Sequence[Any],
) -> None:
    """Fill `gradients`: of queries, keys and values, and of keys, values and bias of every line.

    Args:
        tensors: queries, keys, values, valid.
        lines: as in the forward pass.
        given: output, log weight and ranges of the forward pass, and the gradients of the first two, or None.
        gradients: in the order of `memenc_kernels.memory_attention.operator.gradients_like`.
        options: scaling, causal, sliding_window, memory_in_sliding_window.
    """
    output, log_weight, ranges, output_gradient, log_weight_gradient = given
    assert output is not None and log_weight is not None
    output_gradient = as_numbers(output.new_zeros(()).expand_as(output) if output_gradient is None else output_gradient)
    common = common_arguments(tensors, lines, options) | {
        "ranges": ranges,
        "log_weight": log_weight,
        "output_gradient": output_gradient,
        "output_gradient_strides": output_gradient.stride()[:3],
        "change": launch.empty(log_weight.shape, log_weight),
    }
    _queries(common, output, log_weight_gradient, gradients[0])
    _tokens(common, *gradients[1:3])
    rest = list(gradients[3:])
    for index, line in enumerate(lines):
        count = len(line.entry_tensors())
        entries, rest = rest[:count], rest[count:]
        bias = rest.pop(0) if line.bias is not None else None
        _entries(common, index, line, entries, bias)


def _queries(common: dict[str, Any], output: Tensor, log_weight_gradient: Tensor | None, gradient: Tensor) -> None:
    queries = common["queries"]
    chosen = chosen_configuration("queries", queries)
    launch.start(
        queries_kernel,
        (len(queries) * triton.cdiv(queries.shape[2], chosen.queries), queries.shape[1]),
        queries,
        **common,
        output=output,
        output_strides=output.stride()[:3],
        log_weight_gradient=log_weight_gradient,
        log_weight_gradient_strides=None if log_weight_gradient is None else log_weight_gradient.stride(),
        query_gradient=gradient,
        query_gradient_strides=gradient.stride()[:3],
        ALIGNED=is_aligned(common["lines"]),
        **block_arguments(chosen, queries),
    )


def _tokens(common: dict[str, Any], key_gradient: Tensor, value_gradient: Tensor) -> None:
    queries, keys = common["queries"], common["keys"]
    chosen = chosen_configuration("tokens", queries)
    unused = ("lines", "segments", "SLIDING_MEMORY")
    launch.start(
        tokens_kernel,
        (len(keys) * triton.cdiv(keys.shape[2], chosen.keys), keys.shape[1]),
        queries,
        **{name: value for name, value in common.items() if name not in unused},
        key_gradient=key_gradient,
        value_gradient=value_gradient,
        key_gradient_strides=key_gradient.stride()[:3],
        value_gradient_strides=value_gradient.stride()[:3],
        **block_arguments(chosen, queries),
    )


def _entries(common: dict[str, Any], index: int, line: Line, entries: list[Tensor], bias: Tensor | None) -> None:
    """Gradients of one line; that of the bias is a sum over rows, each written by one program."""
    queries, arguments = common["queries"], common["lines"][index]
    chosen = chosen_configuration("entries", queries)
    places = line.entries + (0 if line.body_keys is None else line.body_keys.shape[1] * line.step)
    parts = None if bias is None else launch.empty((len(queries), len(bias), line.entries), bias, torch.float32)
    unused = ("keys", "key_strides", "values", "value_strides", "valid", "valid_strides", "CAUSAL", "SLIDING", "lines")
    launch.start(
        entries_kernel,
        (len(line.head_keys) * triton.cdiv(places, chosen.keys), line.head_keys.shape[1]),
        queries,
        **{name: value for name, value in common.items() if name not in unused},
        lines=(arguments,),
        gradients=line_arguments([Line(*entries)]),
        places=places,
        bias_gradient=parts,
        bias_gradient_strides=None if parts is None else parts.stride()[:2],
        INDEX=index,
        ALIGNED=is_aligned([arguments]),
        **block_arguments(chosen, queries),
    )
    if bias is not None and parts is not None:
        bias.copy_(parts.sum(0))
