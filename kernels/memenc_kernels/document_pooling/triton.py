"""Triton kernels of document pooling; sizes and names as in README.md beside this file.

A *head* is one query at one scale; heads of a query stand side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
from triton import language as tl


class Weighing(NamedTuple):
    """What weights come from: pointers to logits, their maxima and scales, and how many there are of each."""

    logits: Any
    maxima: Any
    scales: Any
    tokens: Any
    queries: Any
    scale_count: Any


@triton.jit
def tokens_of_program(valid, tokens, token_blocks, BLOCK_TOKENS: tl.constexpr):
    """Document of this program, the places of its block of tokens, and their limits."""
    program = tl.program_id(0).to(tl.int64)
    batch, place = program // token_blocks, program % token_blocks * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    return batch, place, limit_of(valid + batch * tokens, place, tokens)


@triton.jit
def split_of_program(splits, split_tokens):
    """Split that this program sums up, its document, and the place of its first token."""
    row = tl.program_id(0).to(tl.int64)
    return row, row // splits, row % splits * split_tokens


@triton.jit
def columns_of_program(BLOCK_COLUMNS: tl.constexpr):
    """Columns that are this program's."""
    return tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)


@triton.jit
def limit_of(valid, place, tokens):
    """Where a token counts, something above its place, and 0 elsewhere."""
    counts = tl.load(valid + place, mask=place < tokens, other=0)
    return tl.where(counts != 0, tokens, 0)


@triton.jit
def tile_of(states, batch, place, limit, column, HIDDEN: tl.constexpr):
    """Token states at these places and columns in float32, zeros where a place is not below its `limit`."""
    inside = (place[:, None] < limit[:, None]) & (column[None, :] < HIDDEN)
    begin = states.start + batch * states.strides[0] + place[:, None] * states.strides[1]
    return tl.load(begin + column[None, :], mask=inside, other=0.0).to(tl.float32)


@triton.jit
def weights_of(weighing, batch, head, place, limit):
    """Weights (heads, tokens) of attention, and the scale of every head; zeros where nothing counts."""
    query = head // weighing.scale_count
    asked = head < weighing.queries * weighing.scale_count
    maximum = tl.load(weighing.maxima + batch * weighing.queries + query, mask=asked, other=0.0)
    scale = tl.load(weighing.scales + head % weighing.scale_count, mask=asked, other=0.0)
    inside = asked[:, None] & (place[None, :] < limit[None, :])
    logits = weighing.logits + (batch * weighing.queries + query[:, None]) * weighing.tokens
    logit = tl.load(logits + place[None, :], mask=inside, other=0.0)
    gap = tl.where(inside, logit - maximum[:, None], 0.0)
    return tl.where(inside, tl.exp(scale[:, None] * gap), 0.0), scale


@triton.jit
def logits_kernel(
    states, valid, query, logits, tokens, queries, token_blocks,
    HIDDEN: tl.constexpr, BLOCK_QUERIES: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Logits of a block of tokens under all queries; minus infinity for tokens that do not count."""
    batch, place, limit = tokens_of_program(valid, tokens, token_blocks, BLOCK_TOKENS)
    asked = tl.arange(0, BLOCK_QUERIES)
    found = tl.zeros([BLOCK_TOKENS, BLOCK_QUERIES], tl.float32)
    for start in range(0, HIDDEN, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        tile = tile_of(states, batch, place, limit, column, HIDDEN)
        inside = (column[:, None] < HIDDEN) & (asked[None, :] < queries)
        other = tl.load(query + asked[None, :] * HIDDEN + column[:, None], mask=inside, other=0.0).to(tl.float32)
        found += tl.dot(tile, other, input_precision=PRECISION)
    found = tl.where(place[:, None] < limit[:, None], found, float("-inf"))
    inside = (place[:, None] < tokens) & (asked[None, :] < queries)
    tl.store(logits + (batch * queries + asked[None, :]) * tokens + place[:, None], found, mask=inside)


@triton.jit
def pool_kernel(
    states, valid, weighing, totals, highest, counts, sums, weighted, tokens, heads, splits, split_tokens,
    HIDDEN: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum, maximum, how often that occurs, and weighted sums, over a split of the tokens, a block of columns."""
    row, batch, first = split_of_program(splits, split_tokens)
    head, column = tl.arange(0, BLOCK_HEADS), columns_of_program(BLOCK_COLUMNS)
    total = tl.zeros([BLOCK_COLUMNS], tl.float32)
    most = tl.full([BLOCK_COLUMNS], float("-inf"), tl.float32)
    often = tl.zeros([BLOCK_COLUMNS], tl.float32)
    weight = tl.zeros([BLOCK_HEADS], tl.float32)
    pooled = tl.zeros([BLOCK_HEADS, BLOCK_COLUMNS], tl.float32)
    for start in range(0, split_tokens, BLOCK_TOKENS):
        place = first + start + tl.arange(0, BLOCK_TOKENS)
        limit = limit_of(valid + batch * tokens, place, tokens)
        tile = tile_of(states, batch, place, limit, column, HIDDEN)
        total += tl.sum(tile, 0)
        shown = tl.where(place[:, None] < limit[:, None], tile, float("-inf"))
        here = tl.maximum(most, tl.max(shown, 0))
        equal = (shown == here[None, :]) & (place[:, None] < limit[:, None])
        often = tl.where(here > most, 0.0, often) + tl.sum(tl.where(equal, 1.0, 0.0), 0)
        most = here
        weights, _ = weights_of(weighing, batch, head, place, limit)
        weight += tl.sum(weights, 1)
        pooled += tl.dot(weights, tile, input_precision=PRECISION)
    kept = column < HIDDEN
    tl.store(totals + row * HIDDEN + column, total, mask=kept)
    tl.store(highest + row * HIDDEN + column, most, mask=kept)
    tl.store(counts + row * HIDDEN + column, often, mask=kept)
    inside = (head[:, None] < heads) & kept[None, :]
    tl.store(weighted + (row * heads + head[:, None]) * HIDDEN + column[None, :], pooled, mask=inside)
    if tl.program_id(1) == 0:
        tl.store(sums + row * heads + head, weight, mask=head < heads)


@triton.jit
def slopes_kernel(
    states, valid, weighing, sum_gradient, weighted_gradient, slopes, tokens, heads, token_blocks,
    HIDDEN: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of the logits of a block of tokens, for every head."""
    batch, place, limit = tokens_of_program(valid, tokens, token_blocks, BLOCK_TOKENS)
    head = tl.arange(0, BLOCK_HEADS)
    found = tl.zeros([BLOCK_HEADS, BLOCK_TOKENS], tl.float32)
    for start in range(0, HIDDEN, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        tile = tile_of(states, batch, place, limit, column, HIDDEN)
        inside = (head[:, None] < heads) & (column[None, :] < HIDDEN)
        offset = (batch * heads + head[:, None]) * HIDDEN + column[None, :]
        gradient = tl.load(weighted_gradient + offset, mask=inside, other=0.0)
        found += tl.dot(gradient, tl.trans(tile), input_precision=PRECISION)
    found += tl.load(sum_gradient + batch * heads + head, mask=head < heads, other=0.0)[:, None]
    weights, scale = weights_of(weighing, batch, head, place, limit)
    found = found * weights * scale[:, None]
    inside = (head[:, None] < heads) & (place[None, :] < tokens)
    tl.store(slopes + (batch * heads + head[:, None]) * tokens + place[None, :], found, mask=inside)


@triton.jit
def states_backward_kernel(
    states, valid, weighing, query, highest, total_gradient, highest_gradient, weighted_gradient, slopes,
    state_gradient, tokens, heads, token_blocks,
    HIDDEN: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of a block of token states, a block of columns."""
    batch, place, limit = tokens_of_program(valid, tokens, token_blocks, BLOCK_TOKENS)
    head, column = tl.arange(0, BLOCK_HEADS), columns_of_program(BLOCK_COLUMNS)
    tile = tile_of(states, batch, place, limit, column, HIDDEN)
    kept = column < HIDDEN
    most = tl.load(highest + batch * HIDDEN + column, mask=kept, other=0.0)
    reached = tl.load(highest_gradient + batch * HIDDEN + column, mask=kept, other=0.0)
    change = tl.load(total_gradient + batch * HIDDEN + column, mask=kept, other=0.0)[None, :]
    change = change + tl.where(tile == most[None, :], reached[None, :], 0.0)
    weights, _ = weights_of(weighing, batch, head, place, limit)
    inside = (head[:, None] < heads) & kept[None, :]
    offset = (batch * heads + head[:, None]) * HIDDEN + column[None, :]
    gradient = tl.load(weighted_gradient + offset, mask=inside, other=0.0)
    change += tl.dot(tl.trans(weights), gradient, input_precision=PRECISION)
    row = (head // weighing.scale_count)[:, None] * HIDDEN
    asked = tl.load(query + row + column[None, :], mask=inside, other=0.0)
    through = (head[None, :] < heads) & (place[:, None] < tokens)
    slope = tl.load(slopes + (batch * heads + head[None, :]) * tokens + place[:, None], mask=through, other=0.0)
    change += tl.dot(slope, asked.to(tl.float32), input_precision=PRECISION)
    change = tl.where(place[:, None] < limit[:, None], change, 0.0).to(state_gradient.dtype.element_ty)
    inside = (place[:, None] < tokens) & kept[None, :]
    tl.store(state_gradient + (batch * tokens + place[:, None]) * HIDDEN + column[None, :], change, mask=inside)


@triton.jit
def query_backward_kernel(
    states, valid, slopes, asked, tokens, heads, splits, split_tokens,
    HIDDEN: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """What a split of the tokens asks of the query of every head, a block of columns."""
    row, batch, first = split_of_program(splits, split_tokens)
    head, column = tl.arange(0, BLOCK_HEADS), columns_of_program(BLOCK_COLUMNS)
    found = tl.zeros([BLOCK_HEADS, BLOCK_COLUMNS], tl.float32)
    for start in range(0, split_tokens, BLOCK_TOKENS):
        place = first + start + tl.arange(0, BLOCK_TOKENS)
        limit = limit_of(valid + batch * tokens, place, tokens)
        tile = tile_of(states, batch, place, limit, column, HIDDEN)
        inside = (head[:, None] < heads) & (place[None, :] < tokens)
        slope = tl.load(slopes + (batch * heads + head[:, None]) * tokens + place[None, :], mask=inside, other=0.0)
        found += tl.dot(slope, tile, input_precision=PRECISION)
    inside = (head[:, None] < heads) & (column[None, :] < HIDDEN)
    tl.store(asked + (row * heads + head[:, None]) * HIDDEN + column[None, :], found, mask=inside)
