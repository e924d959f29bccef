"""Triton kernels of compression; sizes and names as in README.md beside this file."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

import triton
from triton import language as tl

from memenc_kernels.rotation.pairs import load_straight


@triton.jit
def tile_of(tokens, turn, member, slot, slots, rate, stride_token, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """The member-th token of every slot, in float32, without the rotation `turn` if there is one."""
    dim, place = tl.arange(0, BLOCK_DIM)[None, :], (slot * rate + member)[:, None]
    begin, inside = tokens + place * stride_token, slot[:, None] < slots
    if turn is None:
        numbers = tl.load(begin + dim, mask=inside & (dim < DIM), other=0.0).to(tl.float32)
    else:
        numbers = load_straight(begin, turn, place, dim, inside, DIM)
    return numbers


@triton.jit
def logsumexp_of(keys, turn, asked, slot, slots, rate, stride_token, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """Logarithm of the sum of exponentials of a slot's scores."""
    most = tl.full([slot.shape[0]], float("-inf"), tl.float32)
    total = tl.zeros([slot.shape[0]], tl.float32)
    for member in range(rate):
        key = tile_of(keys, turn, member, slot, slots, rate, stride_token, DIM, BLOCK_DIM)
        score = tl.sum(key * asked[None, :], 1)
        here = tl.maximum(most, score)
        total = total * tl.exp(most - here) + tl.exp(score - here)
        most = here
    return most + tl.log(total)


@triton.jit
def slots_of_program(keys, values, heads, slots, slot_blocks, BLOCK_SLOTS: tl.constexpr):
    """Of this program: its document and head as one `row`, the head, where its keys and values begin, its slots."""
    program = tl.program_id(0).to(tl.int64)
    row, slot = program // slot_blocks, program % slot_blocks * BLOCK_SLOTS + tl.arange(0, BLOCK_SLOTS)
    batch, head = row // heads, row % heads
    key_row = keys.start + batch * keys.strides[0] + head * keys.strides[1]
    value_row = values.start + batch * values.strides[0] + head * values.strides[1]
    return row, head, key_row, value_row, slot


@triton.jit
def numbers_of(row, slot, slots, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """Places of the numbers of slots, where slots lie side by side, and which of them there are."""
    dim = tl.arange(0, BLOCK_DIM)
    return (row * slots + slot)[:, None] * DIM + dim[None, :], (slot[:, None] < slots) & (dim[None, :] < DIM)


@triton.jit
def compress_kernel(
    keys, values, query, turn, short_keys, short_values, heads, slots, rate, slot_blocks,
    KIND: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_SLOTS: tl.constexpr,
):  # fmt: skip
    """A block of slots of one document and head."""
    row, head, key_row, value_row, slot = slots_of_program(keys, values, heads, slots, slot_blocks, BLOCK_SLOTS)
    dim = tl.arange(0, BLOCK_DIM)
    start = float("-inf") if KIND == "max" else 0.0
    short_key = tl.full([BLOCK_SLOTS, BLOCK_DIM], start, tl.float32)
    short_value = tl.full([BLOCK_SLOTS, BLOCK_DIM], start, tl.float32)
    if KIND == "learned_query":
        asked = tl.load(query + head * DIM + dim, mask=dim < DIM, other=0.0).to(tl.float32)
        whole = logsumexp_of(key_row, turn, asked, slot, slots, rate, keys.strides[2], DIM, BLOCK_DIM)
    for member in range(rate):
        key = tile_of(key_row, turn, member, slot, slots, rate, keys.strides[2], DIM, BLOCK_DIM)
        value = tile_of(value_row, None, member, slot, slots, rate, values.strides[2], DIM, BLOCK_DIM)
        if KIND == "max":
            short_key = tl.maximum(short_key, key)
            short_value = tl.maximum(short_value, value)
        else:
            weight = tl.full([BLOCK_SLOTS], 1.0, tl.float32) / rate
            if KIND == "learned_query":
                weight = tl.exp(tl.sum(key * asked[None, :], 1) - whole)
            short_key += weight[:, None] * key
            short_value += weight[:, None] * value
    place, inside = numbers_of(row, slot, slots, DIM, BLOCK_DIM)
    tl.store(short_keys + place, short_key.to(short_keys.dtype.element_ty), mask=inside)
    tl.store(short_values + place, short_value.to(short_values.dtype.element_ty), mask=inside)


@triton.jit
def max_backward(
    tokens, turn, gradient, result, stride_token, slot, slots, rate, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr
):  # fmt: skip
    """Tokens that share a maximum share its gradient; `gradient` (slots, dim) is loaded, `result` is dense."""
    dim = tl.arange(0, BLOCK_DIM)
    most = tl.full([slot.shape[0], BLOCK_DIM], float("-inf"), tl.float32)
    for member in range(rate):
        most = tl.maximum(most, tile_of(tokens, turn, member, slot, slots, rate, stride_token, DIM, BLOCK_DIM))
    often = tl.zeros([slot.shape[0], BLOCK_DIM], tl.float32)
    for member in range(rate):
        token = tile_of(tokens, turn, member, slot, slots, rate, stride_token, DIM, BLOCK_DIM)
        often += tl.where(token == most, 1.0, 0.0)
    inside = (slot[:, None] < slots) & (dim[None, :] < DIM)
    for member in range(rate):
        token = tile_of(tokens, turn, member, slot, slots, rate, stride_token, DIM, BLOCK_DIM)
        change = tl.where(token == most, gradient / often, 0.0).to(result.dtype.element_ty)
        tl.store(result + (slot * rate + member)[:, None] * DIM + dim[None, :], change, mask=inside)


@triton.jit
def compress_backward_kernel(
    keys, values, query, turn, short_key_gradient, short_value_gradient, key_gradient, value_gradient, asked_gradient,
    heads, slots, rate, slot_blocks,
    KIND: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_SLOTS: tl.constexpr,
):  # fmt: skip
    """Gradients of the tokens of a block of slots, and what these ask of the query."""
    row, head, key_row, value_row, slot = slots_of_program(keys, values, heads, slots, slot_blocks, BLOCK_SLOTS)
    dim = tl.arange(0, BLOCK_DIM)
    place, inside = numbers_of(row, slot, slots, DIM, BLOCK_DIM)
    to_key = tl.load(short_key_gradient + place, mask=inside, other=0.0).to(tl.float32)
    to_value = tl.load(short_value_gradient + place, mask=inside, other=0.0).to(tl.float32)
    key_gradient += row * slots * rate * DIM
    value_gradient += row * slots * rate * DIM
    if KIND == "max":
        max_backward(key_row, turn, to_key, key_gradient, keys.strides[2], slot, slots, rate, DIM, BLOCK_DIM)
        max_backward(value_row, None, to_value, value_gradient, values.strides[2], slot, slots, rate, DIM, BLOCK_DIM)
    elif KIND == "mean":
        for member in range(rate):
            here = (slot * rate + member)[:, None] * DIM + dim[None, :]
            tl.store(key_gradient + here, (to_key / rate).to(key_gradient.dtype.element_ty), mask=inside)
            tl.store(value_gradient + here, (to_value / rate).to(value_gradient.dtype.element_ty), mask=inside)
    else:
        asked = tl.load(query + head * DIM + dim, mask=dim < DIM, other=0.0).to(tl.float32)
        whole = logsumexp_of(key_row, turn, asked, slot, slots, rate, keys.strides[2], DIM, BLOCK_DIM)
        mean = tl.zeros([BLOCK_SLOTS], tl.float32)
        for member in range(rate):
            key = tile_of(key_row, turn, member, slot, slots, rate, keys.strides[2], DIM, BLOCK_DIM)
            value = tile_of(value_row, None, member, slot, slots, rate, values.strides[2], DIM, BLOCK_DIM)
            mean += tl.exp(tl.sum(key * asked[None, :], 1) - whole) * tl.sum(to_key * key + to_value * value, 1)
        change = tl.zeros([BLOCK_DIM], tl.float32)
        for member in range(rate):
            key = tile_of(key_row, turn, member, slot, slots, rate, keys.strides[2], DIM, BLOCK_DIM)
            value = tile_of(value_row, None, member, slot, slots, rate, values.strides[2], DIM, BLOCK_DIM)
            weight = tl.exp(tl.sum(key * asked[None, :], 1) - whole)
            slope = weight * (tl.sum(to_key * key + to_value * value, 1) - mean)
            change += tl.sum(slope[:, None] * key, 0)
            here = (slot * rate + member)[:, None] * DIM + dim[None, :]
            moved = weight[:, None] * to_key + slope[:, None] * asked[None, :]
            tl.store(key_gradient + here, moved.to(key_gradient.dtype.element_ty), mask=inside)
            moved = (weight[:, None] * to_value).to(value_gradient.dtype.element_ty)
            tl.store(value_gradient + here, moved, mask=inside)
        tl.store(asked_gradient + tl.program_id(0).to(tl.int64) * DIM + dim, change, mask=dim < DIM)
