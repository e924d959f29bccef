"""Triton kernels of linear memory, forward; sizes and names as in README.md beside this file."""

from __future__ import annotations

import triton
from triton import language as tl


@triton.jit
def features_of(x):
    """``elu(x) + 1``."""
    return tl.where(x > 0, x + 1.0, tl.exp(tl.minimum(x, 0.0)))


@triton.jit
def slope_of(x):
    """Derivative of the feature map."""
    return tl.where(x > 0, 1.0, tl.exp(tl.minimum(x, 0.0)))


@triton.jit
def inverse_of(weight):
    """``1 / weight``, and 0 where the weight is 0."""
    return tl.where(weight > 0, 1.0 / tl.where(weight > 0, weight, 1.0), 0.0)


@triton.jit
def row_of(row, segments, heads, stride_batch, stride_segment, stride_head):
    """Offset of the tokens of `row`, which numbers (batch, segment, head)."""
    batch, segment, head = row // (segments * heads), row // heads % segments, row % heads
    return batch * stride_batch + segment * stride_segment + head * stride_head


@triton.jit
def numbers_of(rows, stride, place, dim, limit, DIM: tl.constexpr):
    """Numbers of rows in float32, zeros from `limit` on; `place` and `dim` stand along two axes, in any order."""
    return tl.load(rows + place * stride + dim, mask=(place < limit) & (dim < DIM), other=0.0).to(tl.float32)


@triton.jit
def features_at(rows, stride, place, dim, limit, DIM: tl.constexpr):
    """The same for their features."""
    numbers = numbers_of(rows, stride, place, dim, limit, DIM)
    return tl.where((place < limit) & (dim < DIM), features_of(numbers), 0.0)


@triton.jit
def product(
    left, right, row, column, DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """Rows and columns of the product of two matrices (DIM, DIM) in memory."""
    result = tl.zeros([row.shape[0], column.shape[0]], tl.float32)
    for start in range(0, DIM, BLOCK_INNER):
        inner = start + tl.arange(0, BLOCK_INNER)
        first = numbers_of(left, DIM, row[:, None], inner[None, :], DIM, DIM)
        second = numbers_of(right, DIM, inner[:, None], column[None, :], DIM, DIM)
        result += tl.dot(first, second, input_precision=PRECISION)
    return result


@triton.jit
def written_kernel(
    keys, values, complete, added, sums,
    key_batch, key_segment, key_head, key_token,
    value_batch, value_segment, value_head, value_token,
    segments, heads, tokens,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``K^T V`` and ``sum K`` of one written segment and head."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(complete + row // heads) == 0:
        return
    dim = tl.arange(0, BLOCK_DIM)
    column = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    token = tl.arange(0, BLOCK_TOKENS)
    keys += row_of(row, segments, heads, key_batch, key_segment, key_head)
    values += row_of(row, segments, heads, value_batch, value_segment, value_head)
    product = tl.zeros([BLOCK_DIM, BLOCK_COLUMNS], tl.float32)
    total = tl.zeros([BLOCK_DIM], tl.float32)
    for start in range(0, tokens, BLOCK_TOKENS):
        place = (start + token).to(tl.int64)
        feature = features_at(keys, key_token, place[None, :], dim[:, None], tokens, DIM)
        value = numbers_of(values, value_token, place[:, None], column[None, :], tokens, DIM)
        product += tl.dot(feature, value, input_precision=PRECISION)
        total += tl.sum(feature, 1)
    inside = (dim[:, None] < DIM) & (column[None, :] < DIM)
    tl.store(added + row * DIM * DIM + dim[:, None] * DIM + column[None, :], product, mask=inside)
    if tl.program_id(1) == 0:
        tl.store(sums + row * DIM + dim, total, mask=dim < DIM)


@triton.jit
def normaliser_kernel(
    start, sums, complete, before, after,
    segments, heads, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Normalisers of one head before each segment and after the last."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    normaliser = tl.load(start + program * DIM + dim, mask=dim < DIM, other=0.0)
    for segment in range(segments):
        row = (batch * segments + segment) * heads + head
        tl.store(before + row * DIM + dim, normaliser, mask=dim < DIM)
        if tl.load(complete + row // heads) != 0:
            normaliser += tl.load(sums + row * DIM + dim, mask=dim < DIM, other=0.0)
    tl.store(after + program * DIM + dim, normaliser, mask=dim < DIM)


@triton.jit
def removed_kernel(
    keys, normalisers, complete, removed,
    key_batch, key_segment, key_head, key_token, segments, heads, tokens,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``K^T D^-1 K`` of one segment and head, ``D = diag(K z)`` z being that before it; 0 where it is not written."""
    row = tl.program_id(0).to(tl.int64)
    tokens = tl.where(tl.load(complete + row // heads) != 0, tokens, 0)
    dim = tl.arange(0, BLOCK_DIM)
    column = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    token = tl.arange(0, BLOCK_TOKENS)
    keys += row_of(row, segments, heads, key_batch, key_segment, key_head)
    normaliser = tl.load(normalisers + row * DIM + dim, mask=dim < DIM, other=0.0)
    product = tl.zeros([BLOCK_DIM, BLOCK_COLUMNS], tl.float32)
    for start in range(0, tokens, BLOCK_TOKENS):
        place = (start + token).to(tl.int64)
        feature = features_at(keys, key_token, place[None, :], dim[:, None], tokens, DIM)
        inverse = inverse_of(tl.sum(feature * normaliser[:, None], 0))
        other = features_at(keys, key_token, place[:, None], column[None, :], tokens, DIM)
        product += tl.dot(feature, other * inverse[:, None], input_precision=PRECISION)
    inside = (dim[:, None] < DIM) & (column[None, :] < DIM)
    tl.store(removed + row * DIM * DIM + dim[:, None] * DIM + column[None, :], product, mask=inside)


@triton.jit
def matrix_kernel(
    start, removed, added, complete, before, after,
    segments, heads, DELTA: tl.constexpr,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``M <- M - removed M + added`` of one head, before each segment and after the last, a block of columns."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    column = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    inside = (dim[:, None] < DIM) & (column[None, :] < DIM)
    tile = dim[:, None] * DIM + column[None, :]
    matrix = tl.load(start + program * DIM * DIM + tile, mask=inside, other=0.0)
    for segment in range(segments):
        row = (batch * segments + segment) * heads + head
        tl.store(before + row * DIM * DIM + tile, matrix, mask=inside)
        if tl.load(complete + row // heads) != 0:
            change = tl.load(added + row * DIM * DIM + tile, mask=inside, other=0.0)
            if DELTA:
                # The other threads of this program stored parts of what it reads again.
                tl.debug_barrier()
                offset = row * DIM * DIM
                change -= product(removed + offset, before + offset, dim, column, DIM, BLOCK_INNER, PRECISION)
            matrix += change
    tl.store(after + program * DIM * DIM + tile, matrix, mask=inside)


@triton.jit
def look_up_kernel(
    queries, matrices, normalisers, known, retrieved,
    query_batch, query_segment, query_head, query_token, segments, heads, group, tokens, token_blocks,
    DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``Q M / Q z`` for a block of queries of one segment and head, a block of columns."""
    program = tl.program_id(0).to(tl.int64)
    row, block = program // token_blocks, program % token_blocks
    # Query heads of one group stand side by side and read the same matrix.
    written = row // group
    column = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    place = block * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    queries += row_of(row, segments, heads, query_batch, query_segment, query_head)
    weight = tl.zeros([BLOCK_TOKENS], tl.float32)
    found = tl.zeros([BLOCK_TOKENS, BLOCK_COLUMNS], tl.float32)
    for start in range(0, DIM, BLOCK_INNER):
        dim = start + tl.arange(0, BLOCK_INNER)
        feature = features_at(queries, query_token, place[:, None], dim[None, :], tokens, DIM)
        normaliser = tl.load(normalisers + written * DIM + dim, mask=dim < DIM, other=0.0)
        weight += tl.sum(feature * normaliser[None, :], 1)
        matrix = numbers_of(matrices + written * DIM * DIM, DIM, dim[:, None], column[None, :], DIM, DIM)
        found += tl.dot(feature, matrix, input_precision=PRECISION)
    # Beyond the last token everything is 0, which must not be divided by.
    divided = place < tl.where(tl.load(known + row // heads) != 0, tokens, 0)
    found = found / tl.where(divided, weight, 1.0)[:, None]
    inside = (place[:, None] < tokens) & (column[None, :] < DIM)
    retrieved += row * tokens * DIM
    tl.store(retrieved + place[:, None] * DIM + column[None, :], found.to(retrieved.dtype.element_ty), mask=inside)
