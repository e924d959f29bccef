"""Gradients of memory attention in Triton; every number is written by one program, so they are deterministic."""

# Type checkers take the language of kernels for Python.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from memenc_kernels.memory_attention.blocks import (
    LOG2_E,
    begin_of,
    is_hidden,
    line_addend,
    line_pointers,
    line_range,
    load_block,
    logits_of,
    over_keys,
    own_addend,
    own_range,
    program_of,
    store_block,
    vectors_of,
)


class Asked(NamedTuple):
    """What comes with queries: arrays of themselves and of the gradient of the output, pointers to the others.

    `change` is what is taken off the gradient of every share, which `queries_kernel` computes for the other kernels.
    """

    queries: Any
    gradient: Any
    log_weight: Any
    change: Any


@triton.jit
def load_weight(log_weight, there):
    """Log weight of queries to base two; +inf where nothing is seen, so that all shares are 0."""
    weight = tl.load(log_weight, mask=there, other=float("inf")) * LOG2_E
    return tl.where(weight == float("-inf"), float("inf"), weight)


@triton.jit
def query_block(state, fixed, keys, values, addend, hidden):
    """Add one block of keys to the gradient of queries."""
    queries, gradient, weight, change, scaling = fixed
    shares = tl.exp2(logits_of(queries, keys, scaling, addend, hidden) - weight[:, None])
    wanted = tl.dot(gradient, tl.trans(values), input_precision="ieee") - change[:, None]
    return state + tl.dot((shares * wanted).to(keys.dtype), keys, input_precision="ieee")


@triton.jit
def queries_kernel(
    seen,
    asked,
    output,
    log_weight_gradient,
    query_gradient,
    scaling,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    LINES: tl.constexpr,
    CAUSAL: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Gradient of a block of queries; and `change` for the other kernels."""
    row, head, start = program_of(seen.tokens, BLOCK_QUERIES)
    dims, asking = tl.arange(0, BLOCK_DIM), start + tl.arange(0, BLOCK_QUERIES)
    there, flat = asking < seen.tokens, (row * seen.heads + head) * seen.tokens
    queries = load_block(vectors_of(asked.queries, row, head, asking), there, dims, DIM)
    gradient = load_block(vectors_of(asked.gradient, row, head, asking), there, dims, DIM)
    given = load_block(vectors_of(output, row, head, asking), there, dims, DIM)
    weight = load_weight(asked.log_weight + flat + asking, there)
    change = tl.sum(given.to(tl.float32) * gradient.to(tl.float32), 1)
    if log_weight_gradient is not None:
        change -= tl.load(vectors_of(log_weight_gradient, row, head, asking), mask=there, other=0.0)
    change = tl.where(weight == float("inf"), 0.0, change)
    tl.store(asked.change + flat + asking, change, mask=there)
    fixed = (queries, gradient, weight, change, scaling * LOG2_E)
    sums = over_keys(
        query_block, tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32), fixed, seen, row, head, start, dims,
        DIM, BLOCK_QUERIES, BLOCK_KEYS, LINES, CAUSAL, ALIGNED,
    )  # fmt: skip
    store_block(vectors_of(query_gradient, row, head, asking), sums * scaling, there, dims, DIM)


@triton.jit
def over_queries(
    state, fixed, addend, positions, seen, asked, row, head, first, last, dims,
    DIM: tl.constexpr, BLOCK_QUERIES: tl.constexpr, CAUSAL: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of keys, values and addends after the queries [first, last) of one row and head."""
    key_sums, value_sums, addend_sums = state
    keys, values, scaling = fixed
    flat = (row * seen.heads + head) * seen.tokens
    for start in range(first, last, BLOCK_QUERIES):
        asking = start + tl.arange(0, BLOCK_QUERIES)
        there = asking < seen.tokens
        queries = load_block(vectors_of(asked.queries, row, head, asking), there, dims, DIM)
        gradient = load_block(vectors_of(asked.gradient, row, head, asking), there, dims, DIM)
        weight = load_weight(asked.log_weight + flat + asking, there)
        change = tl.load(asked.change + flat + asking, mask=there, other=0.0)
        logits = tl.dot(keys, tl.trans(queries), input_precision="ieee") * scaling + addend[:, None]
        shares = tl.exp2(logits - weight[None, :])
        if positions is not None:
            shares = tl.where(is_hidden(asking[None, :], positions[:, None], seen.window, CAUSAL), 0.0, shares)
        value_sums += tl.dot(shares.to(gradient.dtype), gradient, input_precision="ieee")
        wanted = tl.dot(values, tl.trans(gradient), input_precision="ieee") - change[None, :]
        through = shares * wanted
        key_sums += tl.dot(through.to(queries.dtype), queries, input_precision="ieee")
        addend_sums += tl.sum(through, 1)
    return key_sums, value_sums, addend_sums


@triton.jit
def tokens_kernel(
    seen,
    asked,
    key_gradient,
    value_gradient,
    scaling,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    CAUSAL: tl.constexpr,
):
    """Gradients of a block of own keys and values, over all queries of the row that may see them."""
    row, shared, begin = program_of(seen.tokens, BLOCK_KEYS)
    dims, token = tl.arange(0, BLOCK_DIM), begin + tl.arange(0, BLOCK_KEYS)
    inside = token < seen.tokens
    keys = load_block(vectors_of(seen.own_keys, row, shared, token), inside, dims, DIM)
    values = load_block(vectors_of(seen.own_values, row, shared, token), inside, dims, DIM)
    low, high, forced = own_range(seen, row)
    # No valid key in this block: no query is asked.
    first, last = 0, tl.where((low < begin + BLOCK_KEYS) & (high > begin), seen.tokens, 0)
    if CAUSAL:
        first = begin // BLOCK_QUERIES * BLOCK_QUERIES
    if seen.window is not None:
        first = tl.maximum(first, (begin - seen.window + 1) // BLOCK_QUERIES * BLOCK_QUERIES)
        last = tl.minimum(last, begin + BLOCK_KEYS + seen.window - 1)
    positions = None
    if CAUSAL or seen.window is not None:
        positions = token
    addend = own_addend(seen, row, token, inside, forced)
    key_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    value_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    addend_sums = tl.zeros([BLOCK_KEYS], tl.float32)
    for member in range(seen.group):
        key_sums, value_sums, addend_sums = over_queries(
            (key_sums, value_sums, addend_sums), (keys, values, scaling * LOG2_E), addend, positions,
            seen, asked, row, shared * seen.group + member, first, last, dims, DIM, BLOCK_QUERIES, CAUSAL,
        )  # fmt: skip
    store_block(vectors_of(key_gradient, row, shared, token), key_sums * scaling, inside, dims, DIM)
    store_block(vectors_of(value_gradient, row, shared, token), value_sums, inside, dims, DIM)


@triton.jit
def asking_range(positions, inside, window, tokens):
    """The range of the queries that may see one of these positions."""
    first, last = positions - window + 1, tl.ceil(positions + window)
    # What is not a number is near to all.
    first = tl.where(first > 0, tl.minimum(first, tokens), 0)
    last = tl.where(last < tokens, tl.maximum(last, 0), tokens)
    first, last = tl.min(tl.where(inside, first, tokens), 0), tl.max(tl.where(inside, last, 0), 0)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit
def entries_kernel(
    seen,
    asked,
    gradients,
    bias_gradient,
    places,
    scaling,
    INDEX: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Gradients of a block of places of a line, over the segments that see them, which lie one behind another."""
    line = seen.lines[INDEX]
    batch, shared, begin = program_of(places, BLOCK_KEYS)
    dims, place = tl.arange(0, BLOCK_DIM), begin + tl.arange(0, BLOCK_KEYS)
    there = place < places
    keys, values = line_pointers(line, batch, shared, place, ALIGNED)
    keys, values = load_block(keys, there, dims, DIM), load_block(values, there, dims, DIM)
    earliest, latest = 0, 0
    if line.body_keys is not None:
        earliest = tl.maximum(begin - line.entries + line.step, 0) // line.step
        latest = tl.minimum(seen.segments - 1, (begin + BLOCK_KEYS - 1) // line.step)
    key_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    value_sums = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    for segment in range(earliest, latest + 1):
        row = batch * seen.segments + segment
        entry = place - segment * line.step
        inside = there & (entry >= 0) & (entry < line.entries)
        first, last = line_range(seen, row, INDEX)
        nearest = begin - segment * line.step
        tokens = tl.where((first < nearest + BLOCK_KEYS) & (last > nearest), seen.tokens, 0)
        first, last, positions = 0, tokens, None
        if line.positions is not None:
            positions = tl.load(line.positions + entry, mask=inside, other=0.0)
            first, last = asking_range(positions, inside, seen.window, tokens)
        for member in range(seen.group):
            head = shared * seen.group + member
            key_sums, value_sums, addend_sums = over_queries(
                (key_sums, value_sums, tl.zeros([BLOCK_KEYS], tl.float32)), (keys, values, scaling * LOG2_E),
                line_addend(line, batch, segment, head, entry, inside), positions,
                seen, asked, row, head, first, last, dims, DIM, BLOCK_QUERIES, False,
            )  # fmt: skip
            if line.bias is not None:
                tl.store(begin_of(bias_gradient, row, head) + entry, addend_sums, mask=inside)
    keys, values = line_pointers(gradients, batch, shared, place, False)
    store_block(keys, key_sums * scaling, there, dims, DIM)
    store_block(values, value_sums, there, dims, DIM)
