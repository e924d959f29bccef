"""A kernel that doubles rows, with the faults that kernels have."""

import triton
import triton.language as tl


@triton.jit
def double_rows(source, target, stride, length, FAULT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    if FAULT != "narrow":
        row = row.to(tl.int64)
    place = tl.arange(0, BLOCK)
    limit = length
    if FAULT == "too far":
        limit = length + 1
    before = row
    if FAULT == "order" and row > 0:
        # Reads what another program writes.
        doubled = tl.load(target + (row - 1) * length + place, mask=place < length)
        tl.store(target + row * length + place, doubled, mask=place < length)
    else:
        doubled = 2 * tl.load(source + before * stride + place, mask=place < length)
        tl.store(target + row * length + place, doubled, mask=place < limit)
