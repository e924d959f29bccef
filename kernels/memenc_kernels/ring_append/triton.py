"""Triton kernel of the ring append; sizes and names as in README.md beside this file."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

import triton
from triton import language as tl

from memenc_kernels.rotation.pairs import load_straight


@triton.jit
def new_token(tokens, place, stride_token, turn, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """A token of the segment, without the rotation `turn` if it has one."""
    dim, begin = tl.arange(0, BLOCK_DIM), tokens + place * stride_token
    if turn is None:
        numbers = tl.load(begin + dim, mask=dim < DIM, other=0.0).to(tl.float32)
    else:
        numbers = load_straight(begin, turn, place, dim, dim < DIM, DIM)
    return numbers


@triton.jit
def token_of(ring, new, ring_place, new_place, stride_token, turn, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """A token that leaves the window: from the ring, or from the segment if it came with it (`new_place` >= 0)."""
    dim = tl.arange(0, BLOCK_DIM)
    token = tl.zeros([BLOCK_DIM], tl.float32)
    if new_place >= 0:
        token += new_token(new, new_place, stride_token, turn, DIM, BLOCK_DIM)
    else:
        token += tl.load(ring + ring_place * DIM + dim, mask=dim < DIM, other=0.0).to(tl.float32)
    return token


@triton.jit
def product_of(token, kernel, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """Token times one matrix of a convolution."""
    dim = tl.arange(0, BLOCK_DIM)
    inside = (dim[:, None] < DIM) & (dim[None, :] < DIM)
    matrix = tl.load(kernel + dim[:, None] * DIM + dim[None, :], mask=inside, other=0.0).to(tl.float32)
    return tl.sum(token[:, None] * matrix, 0)


@triton.jit
def append_kernel(
    window_keys, window_values, slot_keys, slot_values, counts, keys, values, lengths, query, key_kernel, value_kernel,
    turn, heads, places, groups, slots, window, rate, KIND: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """`rate` neighbouring places of the ring of one document and head: compress what leaves, then store what comes."""
    program = tl.program_id(0).to(tl.int64)
    row, mine = program // groups, program % groups
    batch, head = row // heads, row % heads
    dim = tl.arange(0, BLOCK_DIM)
    read, length = tl.load(counts + batch), tl.load(lengths + batch)
    key_row = keys.start + batch * keys.strides[0] + head * keys.strides[1]
    value_row = values.start + batch * values.strides[0] + head * values.strides[1]
    key_token, value_token = keys.strides[2], values.strides[2]
    window_keys += row * places * DIM
    window_values += row * places * DIM
    last = (read + length - window) // rate
    # Slots that others of this segment would overwrite at once are left out: the order of programs is not known.
    low = tl.maximum(tl.maximum((read - window) // rate, 0), last - slots)
    first = low + (mine - low % groups + groups) % groups
    for group in range(first, last, groups):
        start = float("-inf") if KIND == "max" else 0.0
        short_key = tl.full([BLOCK_DIM], start, tl.float32)
        short_value = tl.full([BLOCK_DIM], start, tl.float32)
        # Scores in a first round, so that the second knows their sum.
        total = 1.0
        if KIND == "learned_query":
            asked = tl.load(query + head * DIM + dim, mask=dim < DIM, other=0.0).to(tl.float32)
            most = float("-inf")
            total = 0.0
            for member in range(rate):
                came = group * rate + member - read
                key = token_of(window_keys, key_row, mine * rate + member, came, key_token, turn, DIM, BLOCK_DIM)
                score = tl.sum(key * asked, 0)
                here = tl.maximum(most, score)
                total = total * tl.exp(most - here) + tl.exp(score - here)
                most = here
        for member in range(rate):
            came = group * rate + member - read
            key = token_of(window_keys, key_row, mine * rate + member, came, key_token, turn, DIM, BLOCK_DIM)
            value = token_of(window_values, value_row, mine * rate + member, came, value_token, None, DIM, BLOCK_DIM)
            if KIND == "max":
                short_key = tl.maximum(short_key, key)
                short_value = tl.maximum(short_value, value)
            elif KIND == "learned_query":
                weight = tl.exp(tl.sum(key * asked, 0) - most) / total
                short_key += weight * key
                short_value += weight * value
            else:
                short_key += key / rate
                short_value += value / rate
                if KIND == "convolution":
                    short_key += product_of(key, key_kernel + member * DIM * DIM, DIM, BLOCK_DIM)
                    short_value += product_of(value, value_kernel + member * DIM * DIM, DIM, BLOCK_DIM)
        place = (row * slots + group % slots) * DIM + dim
        tl.store(slot_keys + place, short_key.to(slot_keys.dtype.element_ty), mask=dim < DIM)
        tl.store(slot_values + place, short_value.to(slot_values.dtype.element_ty), mask=dim < DIM)
    # No thread may store before all have read what it replaces.
    tl.debug_barrier()
    last = (read + length) // rate
    low = tl.maximum(read // rate, last - groups)
    first = low + (mine - low % groups + groups) % groups
    for group in range(first, last, groups):
        for member in range(rate):
            came = group * rate + member - read
            key = new_token(key_row, came, key_token, turn, DIM, BLOCK_DIM)
            value = new_token(value_row, came, value_token, None, DIM, BLOCK_DIM)
            place = (mine * rate + member) * DIM + dim
            tl.store(window_keys + place, key.to(window_keys.dtype.element_ty), mask=dim < DIM)
            tl.store(window_values + place, value.to(window_values.dtype.element_ty), mask=dim < DIM)
