"""Triton kernels of the gated update; sizes and names as in README.md beside this file."""

# Kernels are written in Triton's language, whose types differ from Python's.
# pyright: reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

import triton
from triton import language as tl


@triton.jit
def places_of(row, slot, keep_batch, heads, slot_count, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """Places of the numbers of slots and of their gates, and which of them there are."""
    dim = tl.arange(0, BLOCK_DIM)
    within = slot[:, None] * DIM + dim[None, :]
    kept_place = row // heads * keep_batch + row % heads * slot_count * DIM + within
    return row * slot_count * DIM + within, kept_place, (slot[:, None] < slot_count) & (dim[None, :] < DIM)


@triton.jit
def mix(slots, content, keep, take, place, kept_place, inside, new, LSTM: tl.constexpr):
    """Old slots, content, both gates and their mixture."""
    old = tl.load(slots + place, mask=inside, other=0.0).to(tl.float32)
    found = tl.load(content + place, mask=inside, other=0.0).to(tl.float32)
    kept = tl.sigmoid(tl.load(keep + kept_place, mask=inside, other=0.0).to(tl.float32))
    if LSTM:  # noqa: SIM108
        taken = tl.sigmoid(tl.load(take + place, mask=inside, other=0.0).to(tl.float32))
    else:
        taken = 1.0 - kept
    return old, found, kept, taken, tl.where(new, found, kept * old + taken * found)


@triton.jit
def length_of(mixed):
    """Length of every slot; the root has no gradient at zero."""
    return tl.sqrt(tl.maximum(tl.sum(mixed * mixed, 1), 1e-12))


@triton.jit
def update_kernel(
    slots, content, keep, take, fresh, longest, after, keep_batch, heads, slot_count, slot_blocks,
    LSTM: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_SLOTS: tl.constexpr,
):  # fmt: skip
    """A block of slots of one document's keys or values of one head; `heads` counts those of keys and of values."""
    program = tl.program_id(0).to(tl.int64)
    row, block = program // slot_blocks, program % slot_blocks
    slot = block * BLOCK_SLOTS + tl.arange(0, BLOCK_SLOTS)
    place, kept_place, inside = places_of(row, slot, keep_batch, heads, slot_count, DIM, BLOCK_DIM)
    new = tl.load(fresh + row // heads) != 0
    _, _, _, _, mixed = mix(slots, content, keep, take, place, kept_place, inside, new, LSTM)
    length = length_of(mixed)
    share = tl.minimum(tl.load(longest + row).to(tl.float32) / length, 1.0)
    tl.store(after + place, (mixed * share[:, None]).to(after.dtype.element_ty), mask=inside)


@triton.jit
def update_backward_kernel(
    slots, content, keep, take, fresh, longest, gradient,
    slot_gradient, content_gradient, keep_gradient, take_gradient, longest_gradient, keep_batch, heads, slot_count,
    LSTM: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_SLOTS: tl.constexpr,
):  # fmt: skip
    """Gradients of all slots of one document's keys or values of one head."""
    row = tl.program_id(0).to(tl.int64)
    new = tl.load(fresh + row // heads) != 0
    limit = tl.load(longest + row).to(tl.float32)
    total = tl.zeros([BLOCK_SLOTS], tl.float32)
    for start in range(0, slot_count, BLOCK_SLOTS):
        slot = (start + tl.arange(0, BLOCK_SLOTS)).to(tl.int64)
        place, kept_place, inside = places_of(row, slot, keep_batch, heads, slot_count, DIM, BLOCK_DIM)
        old, found, kept, taken, mixed = mix(slots, content, keep, take, place, kept_place, inside, new, LSTM)
        length = length_of(mixed)
        ratio = limit / length
        change = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
        through = tl.where(ratio <= 1.0, tl.sum(change * mixed, 1), 0.0)
        total += tl.where(slot < slot_count, through / length, 0.0)
        shorter = tl.where(tl.sum(mixed * mixed, 1) >= 1e-12, -through * limit / (length * length * length), 0.0)
        change = change * tl.minimum(ratio, 1.0)[:, None] + mixed * shorter[:, None]
        passed = tl.where(new, 0.0, change)
        tl.store(slot_gradient + place, (passed * kept).to(slot_gradient.dtype.element_ty), mask=inside)
        to_content = tl.where(new, change, change * taken).to(content_gradient.dtype.element_ty)
        tl.store(content_gradient + place, to_content, mask=inside)
        if LSTM:
            to_take = (passed * found * taken * (1.0 - taken)).to(take_gradient.dtype.element_ty)
            tl.store(take_gradient + place, to_take, mask=inside)
            to_keep = passed * old
        else:
            to_keep = passed * (old - found)
        to_keep = (to_keep * kept * (1.0 - kept)).to(keep_gradient.dtype.element_ty)
        tl.store(keep_gradient + place, to_keep, mask=inside)
    tl.store(longest_gradient + row, tl.sum(total, 0).to(longest_gradient.dtype.element_ty))
