"""Triton kernels of linear memory, forward; sizes and names as in README.md beside this file."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

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
def rows_of(array, row, segments, heads):
    """Where the tokens of `row`, which numbers (batch, segment, head), begin, and how far apart they lie."""
    batch, segment, head = row // (segments * heads), row // heads % segments, row % heads
    offset = batch * array.strides[0] + segment * array.strides[1] + head * array.strides[2]
    return array.start + offset, array.strides[3]


@triton.jit
def tokens_of_program(token_blocks, BLOCK_TOKENS: tl.constexpr):
    """Row and places of this program, which has one block of tokens."""
    program = tl.program_id(0).to(tl.int64)
    return program // token_blocks, program % token_blocks * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)


@triton.jit
def columns_of_program(BLOCK_COLUMNS: tl.constexpr):
    """Columns of a matrix that are this program's."""
    return tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)


@triton.jit
def tile_of(dim, column, DIM: tl.constexpr):
    """Places of some columns of a matrix (DIM, DIM), and which of them there are."""
    return dim[:, None] * DIM + column[None, :], (dim[:, None] < DIM) & (column[None, :] < DIM)


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
    rows, stride, place, limit, matrix, column,
    DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Columns of the product of features of rows and a matrix (DIM, DIM); zeros from `limit` on."""
    result = tl.zeros([place.shape[0], column.shape[0]], tl.float32)
    for start in range(0, DIM, BLOCK_INNER):
        inner = start + tl.arange(0, BLOCK_INNER)
        left = features_at(rows, stride, place[:, None], inner[None, :], limit, DIM)
        right = numbers_of(matrix, DIM, inner[:, None], column[None, :], DIM, DIM)
        result += tl.dot(left, right, input_precision=PRECISION)
    return result


@triton.jit
def product_with(left, right, like, PRECISION: tl.constexpr):
    """Product of float32 and of numbers that were loaded in the type of `like`."""
    if PRECISION != "tf32x3" or like.dtype.element_ty == tl.float32:
        return tl.dot(left, right, input_precision=PRECISION)
    # TF32 holds numbers of two bytes as they are: only the other side is cut in two.
    high = (left.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    return tl.dot(high, right, tl.dot(left - high, right, input_precision="tf32"), input_precision="tf32")


@triton.jit
def written_kernel(
    keys, values, complete, added, sums, segments, heads, tokens,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``K^T V`` and ``sum K`` of one written segment and head."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(complete + row // heads) == 0:
        return
    dim = tl.arange(0, BLOCK_DIM)
    column = columns_of_program(BLOCK_COLUMNS)
    token = tl.arange(0, BLOCK_TOKENS)
    key_row, key_token = rows_of(keys, row, segments, heads)
    value_row, value_token = rows_of(values, row, segments, heads)
    product = tl.zeros([BLOCK_DIM, BLOCK_COLUMNS], tl.float32)
    total = tl.zeros([BLOCK_DIM], tl.float32)
    for start in range(0, tokens, BLOCK_TOKENS):
        place = (start + token).to(tl.int64)
        feature = features_at(key_row, key_token, place[None, :], dim[:, None], tokens, DIM)
        value = numbers_of(value_row, value_token, place[:, None], column[None, :], tokens, DIM)
        product += product_with(feature, value, values.start, PRECISION)
        total += tl.sum(feature, 1)
    tile, inside = tile_of(dim, column, DIM)
    tl.store(added + row * DIM * DIM + tile, product, mask=inside)
    if tl.program_id(1) == 0:
        tl.store(sums + row * DIM + dim, total, mask=dim < DIM)


@triton.jit
def normaliser_kernel(
    start, sums, complete, before, after,
    segments, heads, STAGES: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Normalisers of one head before each segment and after the last."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    normaliser = tl.load(start + program * DIM + dim, mask=dim < DIM, other=0.0)
    for segment in tl.range(0, segments, num_stages=STAGES):
        row = (batch * segments + segment) * heads + head
        tl.store(before + row * DIM + dim, normaliser, mask=dim < DIM)
        new = tl.load(sums + row * DIM + dim, mask=dim < DIM, other=0.0)
        normaliser = tl.where(tl.load(complete + row // heads) != 0, normaliser + new, normaliser)
    tl.store(after + program * DIM + dim, normaliser, mask=dim < DIM)


@triton.jit
def removed_kernel(
    keys, normalisers, complete, removed, segments, heads, tokens,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``K^T D^-1 K`` of one segment and head, ``D = diag(K z)`` z being that before it; 0 where it is not written."""
    row = tl.program_id(0).to(tl.int64)
    tokens = tl.where(tl.load(complete + row // heads) != 0, tokens, 0)
    dim = tl.arange(0, BLOCK_DIM)
    column = columns_of_program(BLOCK_COLUMNS)
    token = tl.arange(0, BLOCK_TOKENS)
    key_row, key_token = rows_of(keys, row, segments, heads)
    normaliser = tl.load(normalisers + row * DIM + dim, mask=dim < DIM, other=0.0)
    product = tl.zeros([BLOCK_DIM, BLOCK_COLUMNS], tl.float32)
    for start in range(0, tokens, BLOCK_TOKENS):
        place = (start + token).to(tl.int64)
        feature = features_at(key_row, key_token, place[None, :], dim[:, None], tokens, DIM)
        inverse = inverse_of(tl.sum(feature * normaliser[:, None], 0))
        other = features_at(key_row, key_token, place[:, None], column[None, :], tokens, DIM)
        product += tl.dot(feature, other * inverse[:, None], input_precision=PRECISION)
    tile, inside = tile_of(dim, column, DIM)
    tl.store(removed + row * DIM * DIM + tile, product, mask=inside)


@triton.jit
def matrix_kernel(
    start, removed, added, complete, before, after,
    segments, heads, DELTA: tl.constexpr, STAGES: tl.constexpr,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """``M <- M - removed M + added`` of one head, before each segment and after the last, a block of columns."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    tile, inside = tile_of(dim, columns_of_program(BLOCK_COLUMNS), DIM)
    square, within = tile_of(dim, dim, DIM)
    matrix = tl.load(start + program * DIM * DIM + tile, mask=inside, other=0.0)
    for segment in tl.range(0, segments, num_stages=STAGES):
        row = (batch * segments + segment) * heads + head
        tl.store(before + row * DIM * DIM + tile, matrix, mask=inside)
        # Read whether or not it is written, so that loads can run ahead of the segments.
        change = tl.load(added + row * DIM * DIM + tile, mask=inside, other=0.0)
        if DELTA:
            gone = tl.load(removed + row * DIM * DIM + square, mask=within, other=0.0)
            change -= tl.dot(gone, matrix, input_precision=PRECISION)
        matrix = tl.where(tl.load(complete + row // heads) != 0, matrix + change, matrix)
    tl.store(after + program * DIM * DIM + tile, matrix, mask=inside)


@triton.jit
def look_up_kernel(
    queries, matrices, normalisers, known, retrieved, segments, heads, group, tokens, token_blocks,
    DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """``Q M / Q z`` for a block of queries of one segment and head, a block of columns."""
    row, place = tokens_of_program(token_blocks, BLOCK_TOKENS)
    # Query heads of one group stand side by side and read the same matrix.
    written = row // group
    column = columns_of_program(BLOCK_COLUMNS)
    query_row, query_token = rows_of(queries, row, segments, heads)
    weight = tl.zeros([BLOCK_TOKENS], tl.float32)
    found = tl.zeros([BLOCK_TOKENS, BLOCK_COLUMNS], tl.float32)
    for start in range(0, DIM, BLOCK_INNER):
        dim = start + tl.arange(0, BLOCK_INNER)
        feature = features_at(query_row, query_token, place[:, None], dim[None, :], tokens, DIM)
        normaliser = tl.load(normalisers + written * DIM + dim, mask=dim < DIM, other=0.0)
        weight += tl.sum(feature * normaliser[None, :], 1)
        matrix = numbers_of(matrices + written * DIM * DIM, DIM, dim[:, None], column[None, :], DIM, DIM)
        found += tl.dot(feature, matrix, input_precision=PRECISION)
    # Beyond the last token everything is 0, which must not be divided by.
    divided = place < tl.where(tl.load(known + row // heads) != 0, tokens, 0)
    found = found / tl.where(divided & (weight > 0), weight, 1.0)[:, None]
    inside = (place[:, None] < tokens) & (column[None, :] < DIM)
    retrieved += row * tokens * DIM
    tl.store(retrieved + place[:, None] * DIM + column[None, :], found.to(retrieved.dtype.element_ty), mask=inside)
