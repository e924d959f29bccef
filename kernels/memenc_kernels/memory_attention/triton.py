"""Memory attention in Triton: forward. One program per row, head and block of queries; keys are read where they lie."""

# Type checkers take the language of kernels for Python.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import triton
import triton.language as tl

from memenc_kernels.memory_attention.blocks import (
    LOG2_E,
    begin_of,
    load_block,
    logits_of,
    over_keys,
    program_of,
    store_block,
    vectors_of,
    widened,
)

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def attend_block(state, fixed, keys, values, addend, hidden):
    """Take one block of keys into the running softmax."""
    sums, total, maximum = state
    queries, scaling = fixed
    logits = logits_of(queries, keys, scaling, addend, hidden)
    newest = tl.maximum(maximum, tl.max(logits, 1))
    # Where nothing was seen yet the maximum is -inf, and the difference to it would be NaN.
    finite = tl.where(newest == float("-inf"), 0.0, newest)
    weights = tl.exp2(logits - finite[:, None])
    kept = tl.exp2(maximum - finite)
    sums = sums * kept[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    return sums, total * kept + tl.sum(weights, 1), newest


@triton.jit
def forward_kernel(
    queries,
    seen,
    output,
    log_weight,
    scaling,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    LINES: tl.constexpr,
    CAUSAL: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Output and log weight of a block of queries of one row and head."""
    row, head, start = program_of(seen.tokens, BLOCK_QUERIES)
    dims, asking = tl.arange(0, BLOCK_DIM), start + tl.arange(0, BLOCK_QUERIES)
    there = asking < seen.tokens
    fixed = (load_block(vectors_of(queries, row, head, asking), there, dims, DIM), scaling * LOG2_E)
    sums = tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32)
    total = tl.zeros([BLOCK_QUERIES], tl.float32)
    maximum = tl.full([BLOCK_QUERIES], float("-inf"), tl.float32)
    sums, total, maximum = over_keys(
        attend_block, (sums, total, maximum), fixed, seen, row, head, start, dims,
        DIM, BLOCK_QUERIES, BLOCK_KEYS, LINES, CAUSAL, ALIGNED,
    )  # fmt: skip
    nothing = total == 0.0
    safe = tl.where(nothing, 1.0, total)
    store_block(vectors_of(output, row, head, asking), sums / safe[:, None], there, dims, DIM)
    weight = tl.where(nothing, float("-inf"), (maximum + tl.log2(safe)) * LN_2)
    tl.store(log_weight + (row * seen.heads + head) * seen.tokens + asking, weight, mask=there)


@triton.jit
def find_range(valid, stride, length, BLOCK: tl.constexpr):
    """From the first valid place to behind the last; (length, 0) if there is none."""
    first, last = length, 0
    for begin in range(0, length, BLOCK):
        place = begin + tl.arange(0, BLOCK)
        invalid = tl.load(valid + place * stride, mask=place < length, other=0) == 0
        first, last = widened(first, last, place, invalid, length)
    return first, last


@triton.jit
def ranges_kernel(seen, LINES: tl.constexpr, BLOCK: tl.constexpr):
    """Of every row: the range of its own valid tokens, whether there is none so that all count, that of every line."""
    row = tl.program_id(0).to(tl.int64)
    ranges = seen.ranges + row * 7
    if seen.own_valid is not None:
        first, last = find_range(begin_of(seen.own_valid, row, 0), seen.own_valid.strides[1], seen.tokens, BLOCK)
        none = last == 0
        tl.store(ranges, tl.where(none, 0, first))
        tl.store(ranges + 1, tl.where(none, seen.tokens, last))
        tl.store(ranges + 2, none.to(tl.int32))
    for index in tl.static_range(LINES):
        line = seen.lines[index]
        if line.valid is not None:
            valid = begin_of(line.valid, row // seen.segments, row % seen.segments)
            first, last = find_range(valid, line.valid.strides[2], line.entries, BLOCK)
            tl.store(ranges + 3 + 2 * index, first)
            tl.store(ranges + 4 + 2 * index, last)
