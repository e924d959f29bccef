"""Triton kernel of the rotation."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

import triton
from triton import language as tl

from memenc_kernels.rotation.pairs import load_turned


@triton.jit
def row_of(array, first, second, third):
    """Where the vectors under three leading indices begin."""
    return array.start + first * array.strides[0] + second * array.strides[1] + third * array.strides[2]


@triton.jit
def rotate_kernel(
    tokens, cosine, sine, turned, second_size, third_size, length, blocks,
    PAIRS: tl.constexpr, INTERLEAVED: tl.constexpr, BACK: tl.constexpr,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
):  # fmt: skip
    """A block of tokens under one place of three leading axes; `turned` is dense."""
    program = tl.program_id(0).to(tl.int64)
    row, place = program // blocks, program % blocks * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    first, second, third = row // (second_size * third_size), row // third_size % second_size, row % third_size
    dim, place = tl.arange(0, BLOCK_DIM)[None, :], place[:, None]
    inside = place < length
    numbers = load_turned(
        row_of(tokens, first, second, third) + place * tokens.strides[3],
        row_of(cosine, first, second, third) + place * cosine.strides[3],
        row_of(sine, first, second, third) + place * sine.strides[3],
        dim, inside, PAIRS, INTERLEAVED, BACK, DIM,
    )  # fmt: skip
    result = turned + (row * length + place) * DIM + dim
    tl.store(result, numbers.to(turned.dtype.element_ty), mask=inside & (dim < DIM))
