"""Rotation in Triton, for every kernel that reads tokens."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import Any, NamedTuple

import triton
from triton import language as tl

from memenc_kernels.ahead import Constant
from memenc_kernels.rotation.table import Rotation


class Turn(NamedTuple):
    """A rotation (tokens, pairs) in a kernel: dense tables, and what is compiled in."""

    cosine: Any
    sine: Any
    pairs: Any
    interleaved: Any


def turn_of(rotation: Rotation | None) -> Turn | None:
    """A rotation as kernels take it, None if there is none."""
    if rotation is None:
        return None
    cosine, sine, interleaved = rotation
    return Turn(cosine.contiguous(), sine.contiguous(), tl.constexpr(cosine.shape[-1]), tl.constexpr(interleaved))


def turn_for(dim: int) -> Turn:
    """That of all numbers of a head, as it is compiled ahead of time."""
    return Turn("*fp32", "*fp32", Constant(dim // 2), Constant(False))


@triton.jit
def load_straight(token, turn, place, dim, inside, DIM: tl.constexpr):
    """Numbers `dim` of tokens at these places without their rotation, in float32; `token` is where each begins."""
    cosine, sine = turn.cosine + place * turn.pairs, turn.sine + place * turn.pairs
    return load_turned(token, cosine, sine, dim, inside, turn.pairs, turn.interleaved, True, DIM)


@triton.jit
def load_turned(
    token, cosine, sine, dim, inside,
    PAIRS: tl.constexpr, INTERLEAVED: tl.constexpr, BACK: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """Numbers `dim` of tokens, turned (or turned back), in float32; `token`, `cosine` and `sine` are where each begins.

    A partner is loaded a second time, from the same cache line, instead of being sought among the registers of others.
    """
    numbers = tl.load(token + dim, mask=inside & (dim < DIM), other=0.0).to(tl.float32)
    if INTERLEAVED:
        partner, pair, leads = dim ^ 1, dim // 2, dim % 2 == 0
    else:
        leads = dim < PAIRS
        partner, pair = tl.where(leads, dim + PAIRS, dim - PAIRS), tl.where(leads, dim, dim - PAIRS)
    turning = inside & (dim < 2 * PAIRS)
    others = tl.load(token + partner, mask=turning, other=0.0).to(tl.float32)
    along = tl.load(cosine + pair, mask=turning, other=1.0)
    across = tl.load(sine + pair, mask=turning, other=0.0)
    if BACK:
        across = -across
    return numbers * along + tl.where(leads, -others, others) * across
