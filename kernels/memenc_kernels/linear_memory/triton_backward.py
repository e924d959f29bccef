"""Triton kernels of linear memory, backward; sizes and names as in README.md beside this file."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
from triton import language as tl

from memenc_kernels.linear_memory.triton import (
    columns_of_program,
    features_at,
    features_of,
    inverse_of,
    numbers_of,
    product,
    rows_of,
    slope_of,
    tile_of,
    tokens_of_program,
)


@triton.jit
def queries_backward_kernel(
    queries, matrices, normalisers, known, gradient, query_gradient, fades,
    segments, heads, group, tokens, token_blocks,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of a block of queries, and per query what the gradient of the normaliser needs."""
    row, place = tokens_of_program(token_blocks, BLOCK_TOKENS)
    written = row // group
    dim = tl.arange(0, BLOCK_DIM)
    query_row, query_token = rows_of(queries, row, segments, heads)
    gradient_row, gradient_token = rows_of(gradient, row, segments, heads)
    inside = (place[:, None] < tokens) & (dim[None, :] < DIM)
    query = numbers_of(query_row, query_token, place[:, None], dim[None, :], tokens, DIM)
    feature = tl.where(inside, features_of(query), 0.0)
    normaliser = tl.load(normalisers + written * DIM + dim, mask=dim < DIM, other=0.0)
    weight = tl.sum(feature * normaliser[None, :], 1)
    divided = (place < tl.where(tl.load(known + row // heads) != 0, tokens, 0)) & (weight > 0)
    weight = tl.where(divided, weight, 1.0)
    change = tl.zeros([BLOCK_TOKENS, BLOCK_DIM], tl.float32)
    for start in range(0, DIM, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        found = numbers_of(gradient_row, gradient_token, place[:, None], column[None, :], tokens, DIM)
        matrix = numbers_of(matrices + written * DIM * DIM, DIM, dim[:, None], column[None, :], DIM, DIM)
        change += tl.dot(found, tl.trans(matrix), input_precision=PRECISION)
    change = change / weight[:, None]
    fade = tl.where(divided, tl.sum(change * feature, 1) / weight, 0.0)
    change = (change - fade[:, None] * normaliser[None, :]) * slope_of(query)
    tl.store(fades + row * tokens + place, fade, mask=place < tokens)
    query_gradient += row * tokens * DIM
    change = change.to(query_gradient.dtype.element_ty)
    tl.store(query_gradient + place[:, None] * DIM + dim[None, :], change, mask=inside)


@triton.jit
def look_up_backward_kernel(
    queries, normalisers, known, gradient, fades, matrix_gradient, normaliser_gradient,
    segments, heads, group, tokens,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """What the look-ups of one segment ask of one matrix, a block of columns, and of its normaliser."""
    written = tl.program_id(0).to(tl.int64)
    dim = tl.arange(0, BLOCK_DIM)
    column = columns_of_program(BLOCK_COLUMNS)
    token = tl.arange(0, BLOCK_TOKENS)
    normaliser = tl.load(normalisers + written * DIM + dim, mask=dim < DIM, other=0.0)
    divided = tl.where(tl.load(known + written // (heads // group)) != 0, tokens, 0)
    change = tl.zeros([BLOCK_DIM, BLOCK_COLUMNS], tl.float32)
    faded = tl.zeros([BLOCK_DIM], tl.float32)
    for member in range(group):
        row = written * group + member
        query_row, query_token = rows_of(queries, row, segments, heads)
        gradient_row, gradient_token = rows_of(gradient, row, segments, heads)
        for start in range(0, tokens, BLOCK_TOKENS):
            place = (start + token).to(tl.int64)
            feature = features_at(query_row, query_token, place[None, :], dim[:, None], tokens, DIM)
            weight = tl.sum(feature * normaliser[:, None], 0)
            weight = tl.where((place < divided) & (weight > 0), weight, 1.0)
            found = numbers_of(gradient_row, gradient_token, place[:, None], column[None, :], tokens, DIM)
            change += tl.dot(feature, found / weight[:, None], input_precision=PRECISION)
            fade = tl.load(fades + row * tokens + place, mask=place < tokens, other=0.0)
            faded += tl.sum(feature * fade[None, :], 1)
    tile, inside = tile_of(dim, column, DIM)
    tl.store(matrix_gradient + written * DIM * DIM + tile, change, mask=inside)
    if tl.program_id(1) == 0:
        tl.store(normaliser_gradient + written * DIM + dim, -faded, mask=dim < DIM)


@triton.jit
def matrix_backward_kernel(
    last, removed, asked, cuts, after, start_gradient,
    segments, heads, DELTA: tl.constexpr, CUT: tl.constexpr, STAGES: tl.constexpr,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of the matrices of one head after each segment, from the last to the start, a block of columns."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    tile, inside = tile_of(dim, columns_of_program(BLOCK_COLUMNS), DIM)
    square, within = tile_of(dim, dim, DIM)
    gradient = tl.load(last + program * DIM * DIM + tile, mask=inside, other=0.0)
    for step in tl.range(0, segments, num_stages=STAGES):
        segment = segments - 1 - step
        row = (batch * segments + segment) * heads + head
        tl.store(after + row * DIM * DIM + tile, gradient, mask=inside)
        change = tl.load(asked + row * DIM * DIM + tile, mask=inside, other=0.0)
        if DELTA:
            # What is removed is symmetric, and so its own transpose; 0 where nothing is written.
            gone = tl.load(removed + row * DIM * DIM + square, mask=within, other=0.0)
            change -= tl.dot(gone, gradient, input_precision=PRECISION)
        gradient += change
        if CUT:
            gradient = tl.where(tl.load(cuts + segment) != 0, 0.0, gradient)
    tl.store(start_gradient + program * DIM * DIM + tile, gradient, mask=inside)


@triton.jit
def known_backward_kernel(
    keys, matrices, normalisers, complete, after, slopes, asked, segments, heads, tokens, width,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of every key's weight in one written segment, and what it adds to that of the normaliser (`asked`)."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(complete + row // heads) == 0:
        return
    dim = tl.arange(0, BLOCK_DIM)
    token = tl.arange(0, BLOCK_TOKENS)
    key_row, key_token = rows_of(keys, row, segments, heads)
    normaliser = tl.load(normalisers + row * DIM + dim, mask=dim < DIM, other=0.0)
    total = tl.zeros([BLOCK_DIM], tl.float32)
    for start in range(0, tokens, BLOCK_TOKENS):
        place = (start + token).to(tl.int64)
        feature = features_at(key_row, key_token, place[:, None], dim[None, :], tokens, DIM)
        inverse = inverse_of(tl.sum(feature * normaliser[None, :], 1))
        slope = tl.zeros([BLOCK_TOKENS], tl.float32)
        # Not DIM: the compiler would unroll the loop and run out of registers.
        for first in range(0, width, BLOCK_COLUMNS):
            column = first + tl.arange(0, BLOCK_COLUMNS)
            offset = row * DIM * DIM
            retrieved = product(
                key_row, key_token, place, tokens, matrices + offset, column, DIM, BLOCK_INNER, PRECISION
            )
            moved = product(key_row, key_token, place, tokens, after + offset, column, DIM, BLOCK_INNER, PRECISION)
            slope += tl.sum(retrieved * moved, 1)
        slope *= inverse * inverse
        tl.store(slopes + row * tokens + place, slope, mask=place < tokens)
        total += tl.sum(feature * slope[:, None], 0)
    total += tl.load(asked + row * DIM + dim, mask=dim < DIM, other=0.0)
    tl.store(asked + row * DIM + dim, total, mask=dim < DIM)


@triton.jit
def normaliser_backward_kernel(
    last, asked, cuts, after, start_gradient,
    segments, heads, CUT: tl.constexpr, STAGES: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Gradient of the normalisers of one head after each segment, from the last to the start."""
    program = tl.program_id(0).to(tl.int64)
    batch, head = program // heads, program % heads
    dim = tl.arange(0, BLOCK_DIM)
    gradient = tl.load(last + program * DIM + dim, mask=dim < DIM, other=0.0)
    for step in tl.range(0, segments, num_stages=STAGES):
        segment = segments - 1 - step
        row = (batch * segments + segment) * heads + head
        tl.store(after + row * DIM + dim, gradient, mask=dim < DIM)
        gradient += tl.load(asked + row * DIM + dim, mask=dim < DIM, other=0.0)
        if CUT:
            gradient = tl.where(tl.load(cuts + segment) != 0, 0.0, gradient)
    tl.store(start_gradient + program * DIM + dim, gradient, mask=dim < DIM)


@triton.jit
def keys_backward_kernel(
    keys, values, matrices, normalisers, complete, after, sums_after, slopes, key_gradient, value_gradient,
    segments, heads, tokens, width, token_blocks, DELTA: tl.constexpr,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_INNER: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of keys and values of one segment and head; zeros where it is not written."""
    row, place = tokens_of_program(token_blocks, BLOCK_TOKENS)
    # Where nothing is written there is nothing to read.
    limit = tl.where(tl.load(complete + row // heads) != 0, tokens, 0)
    dim = tl.arange(0, BLOCK_DIM)
    key_row, key_token = rows_of(keys, row, segments, heads)
    value_row, value_token = rows_of(values, row, segments, heads)
    key_gradient += row * tokens * DIM
    value_gradient += row * tokens * DIM
    inside = (place[:, None] < tokens) & (dim[None, :] < DIM)
    loaded = (place[:, None] < limit) & (dim[None, :] < DIM)
    key = numbers_of(key_row, key_token, place[:, None], dim[None, :], limit, DIM)
    feature = tl.where(loaded, features_of(key), 0.0)
    normaliser = tl.load(normalisers + row * DIM + dim, mask=dim < DIM, other=0.0)
    inverse = inverse_of(tl.sum(feature * normaliser[None, :], 1))
    change = tl.zeros([BLOCK_TOKENS, BLOCK_DIM], tl.float32)
    # Not DIM: the compiler would unroll the loop and run out of registers.
    for first in range(0, width, BLOCK_COLUMNS):
        column = first + tl.arange(0, BLOCK_COLUMNS)
        here = (place[:, None] < tokens) & (column[None, :] < DIM)
        value = numbers_of(value_row, value_token, place[:, None], column[None, :], limit, DIM)
        offset = row * DIM * DIM
        moved = product(key_row, key_token, place, limit, after + offset, column, DIM, BLOCK_INNER, PRECISION)
        if DELTA:
            retrieved = product(
                key_row, key_token, place, limit, matrices + offset, column, DIM, BLOCK_INNER, PRECISION
            )
            value -= retrieved * inverse[:, None]
            matrix = numbers_of(matrices + offset, DIM, dim[None, :], column[:, None], DIM, DIM)
            change -= tl.dot(moved * inverse[:, None], matrix, input_precision=PRECISION)
        gradient = numbers_of(after + offset, DIM, dim[None, :], column[:, None], DIM, DIM)
        change += tl.dot(value, gradient, input_precision=PRECISION)
        moved = moved.to(value_gradient.dtype.element_ty)
        tl.store(value_gradient + place[:, None] * DIM + column[None, :], moved, mask=here)
    change += tl.load(sums_after + row * DIM + dim, mask=dim < DIM, other=0.0)[None, :]
    if DELTA:
        slope = tl.load(slopes + row * tokens + place, mask=place < limit, other=0.0)
        change += slope[:, None] * normaliser[None, :]
    change = tl.where(loaded, change * slope_of(key), 0.0).to(key_gradient.dtype.element_ty)
    tl.store(key_gradient + place[:, None] * DIM + dim[None, :], change, mask=inside)
