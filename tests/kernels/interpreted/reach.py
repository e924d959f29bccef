"""A kernel that says what memory attention takes to be within reach."""

import triton
import triton.language as tl

from memenc_kernels.memory_attention.blocks import near_range
from memenc_kernels.memory_attention.triton_backward import asking_range


@triton.jit
def within_reach(line, earliest, latest, tokens, window, found, BLOCK: tl.constexpr):
    entry = tl.arange(0, BLOCK)
    inside = entry < line.entries
    # Several blocks, for what is found in one is kept for the next.
    first, last = near_range(line, earliest, latest, window, BLOCK=16)
    tl.store(found, first)
    tl.store(found + 1, last)
    first, last = asking_range(tl.load(line.positions + entry, mask=inside, other=0.0), inside, window, tokens)
    tl.store(found + 2, first)
    tl.store(found + 3, last)
