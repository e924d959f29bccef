"""What the kernels of memory attention share: where numbers lie, and what a row sees, block by block."""

# Type checkers take the language of kernels for Python.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

# Exponentials are powers of two in hardware.
LOG2_E = tl.constexpr(1.4426950408889634)


class Entries(NamedTuple):
    """A `Line` as kernels take it: arrays, a pointer to positions, whole numbers; None for what is not there."""

    head_keys: Any
    head_values: Any
    body_keys: Any
    body_values: Any
    valid: Any
    bias: Any
    positions: Any
    entries: Any
    step: Any


class Seen(NamedTuple):
    """What rows see: their own tokens as arrays, the ranges of what is valid, lines; the window, None if unlimited."""

    # A field `values` would hide behind triton's own; and triton 3.6 cannot tell the length of tuples that hold None.
    own_keys: Any
    own_values: Any
    own_valid: Any
    ranges: Any
    lines: Any
    segments: Any
    tokens: Any
    heads: Any
    group: Any
    window: Any


@triton.jit
def program_of(length, BLOCK: tl.constexpr):
    """Of this program: row (or document), head, and where its block of `length` places begins."""
    blocks = tl.cdiv(length, BLOCK)
    row, head = tl.program_id(0) // blocks, tl.program_id(1)
    return row.to(tl.int64), head.to(tl.int64), (tl.program_id(0) % blocks) * BLOCK


@triton.jit
def begin_of(array, first, second):
    """Where the numbers under two leading indices begin."""
    return array.start + first * array.strides[0] + second * array.strides[1]


@triton.jit
def vectors_of(array, row, head, places):
    """Where the vectors at these places begin."""
    return begin_of(array, row, head) + places.to(tl.int64) * array.strides[2]


@triton.jit
def load_block(pointers, inside, dims, DIM: tl.constexpr):
    """Numbers (places, dim) that begin at `pointers`, zeros outside."""
    mask = inside[:, None]
    # Heads whose size is no power of two leave the last columns empty.
    if dims.shape[0] != DIM:
        mask = mask & (dims < DIM)[None, :]
    return tl.load(pointers[:, None] + dims[None, :], mask=mask, other=0.0)


@triton.jit
def store_block(pointers, numbers, inside, dims, DIM: tl.constexpr):
    """Write numbers (places, dim) where `pointers` begin."""
    mask = inside[:, None]
    if dims.shape[0] != DIM:
        mask = mask & (dims < DIM)[None, :]
    tl.store(pointers[:, None] + dims[None, :], numbers.to(pointers.dtype.element_ty), mask=mask)


@triton.jit
def line_pointers(line, batch, head, places, ALIGNED: tl.constexpr):
    """Where the keys and the values at these places of a line begin."""
    keys, values = vectors_of(line.head_keys, batch, head, places), vectors_of(line.head_values, batch, head, places)
    if line.body_keys is not None:
        behind = tl.maximum(places - line.entries, 0)
        segment, entry = (behind // line.step).to(tl.int64), (behind % line.step).to(tl.int64)
        keys = tl.where(places < line.entries, keys, body_pointers(line.body_keys, batch, segment, head, entry))
        values = tl.where(places < line.entries, values, body_pointers(line.body_values, batch, segment, head, entry))
        if ALIGNED:
            # The choice between two buffers hides from the compiler that both allow wide loads.
            keys, values = tl.multiple_of(keys, 16), tl.multiple_of(values, 16)
    return keys, values


@triton.jit
def body_pointers(body, batch, segment, head, entry):
    """Where the vectors that segments append begin."""
    # What is the same for all places first: it takes fewer registers.
    begin = body.start + batch * body.strides[0] + head * body.strides[2]
    return begin + segment * body.strides[1] + entry * body.strides[3]


@triton.jit
def line_addend(line, batch, segment, head, entry, inside):
    """What is added to the logits (base two) of entries as one segment sees them: the bias, or -inf where invalid."""
    if line.valid is not None:
        place = begin_of(line.valid, batch, segment) + entry * line.valid.strides[2]
        inside = inside & (tl.load(place, mask=inside, other=0) != 0)
    addend = tl.where(inside, 0.0, float("-inf"))
    if line.bias is not None:
        bias = tl.load(begin_of(line.bias, head, entry), mask=inside, other=0.0)
        addend += bias.to(tl.float32) * LOG2_E
    return addend


@triton.jit
def own_addend(seen, row, token, inside, forced):
    """What is added to the logits of own tokens: 0, or -inf where invalid."""
    if seen.own_valid is not None:
        found = tl.load(begin_of(seen.own_valid, row, token), mask=inside, other=0)
        inside = inside & ((found.to(tl.int32) + forced) != 0)
    return tl.where(inside, 0.0, float("-inf"))


@triton.jit
def line_range(seen, row, index: tl.constexpr):
    """The first valid entry of a line and what lies behind the last."""
    first, last = 0, seen.lines[index].entries
    if seen.lines[index].valid is not None:
        first = tl.load(seen.ranges + row * 7 + 3 + 2 * index)
        last = tl.load(seen.ranges + row * 7 + 4 + 2 * index)
    return first, last


@triton.jit
def widened(first, last, place, outside, length):
    """The range [first, last) with all places in it that are not `outside`; (length, 0) is the empty one."""
    first = tl.minimum(first, tl.min(tl.where(outside, length, place), 0))
    return first, tl.maximum(last, tl.max(tl.where(outside, 0, place + 1), 0))


@triton.jit
def near_range(line, earliest, latest, window, BLOCK: tl.constexpr):
    """The range of the entries of a line that the queries `earliest` to `latest` may see."""
    first, last = line.entries, 0
    for begin in range(0, line.entries, BLOCK):
        entry = begin + tl.arange(0, BLOCK)
        position = tl.load(line.positions + entry, mask=entry < line.entries, other=float("inf"))
        # What is not a number is neither, and near to all.
        far = (position <= earliest - window) | (position >= latest + window)
        first, last = widened(first, last, entry, far, line.entries)
    return first, last


@triton.jit
def own_range(seen, row):
    """The same for own tokens, and whether all count because none is valid."""
    first, last, forced = 0, seen.tokens, 0
    if seen.own_valid is not None:
        first, last = tl.load(seen.ranges + row * 7), tl.load(seen.ranges + row * 7 + 1)
        forced = tl.load(seen.ranges + row * 7 + 2)
    return first, last, forced


@triton.jit
def is_hidden(queries, positions, window, CAUSAL: tl.constexpr):
    """Which queries do not see the keys at these positions; what is not a number is near to all."""
    distance = queries - positions
    hidden = distance < 0
    if not CAUSAL:
        hidden = tl.abs(distance) >= window
    elif window is not None:
        hidden = hidden | (tl.abs(distance) >= window)
    return hidden


@triton.jit
def logits_of(queries, keys, scaling, addend, hidden):
    """Logits (queries, keys) to base two, -inf where a key is not seen."""
    logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scaling + addend[None, :]
    if hidden is not None:
        logits = tl.where(hidden, float("-inf"), logits)
    return logits


@triton.jit
def over_keys(
    step: tl.constexpr,
    state,
    fixed,
    seen,
    row,
    head,
    start,
    dims,
    DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    LINES: tl.constexpr,
    CAUSAL: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """`state` after all blocks of keys that the queries from `start` on may see, of lines and own; `step` takes one."""
    asking = start + tl.arange(0, BLOCK_QUERIES)
    batch, segment, shared = row // seen.segments, row % seen.segments, head // seen.group
    for index in tl.static_range(LINES):
        line = seen.lines[index]
        first, last = line_range(seen, row, index)
        if line.positions is not None:
            nearest, behind = near_range(line, start, start + BLOCK_QUERIES - 1, seen.window, BLOCK=1024)
            first, last = tl.maximum(first, nearest), tl.minimum(last, behind)
        for begin in range(first // BLOCK_KEYS * BLOCK_KEYS, last, BLOCK_KEYS):
            entry = begin + tl.arange(0, BLOCK_KEYS)
            inside = entry < line.entries
            keys, values = line_pointers(line, batch, shared, segment.to(tl.int32) * line.step + entry, ALIGNED)
            addend = line_addend(line, batch, segment, head, entry, inside)
            keys, values = load_block(keys, inside, dims, DIM), load_block(values, inside, dims, DIM)
            hidden = None
            if line.positions is not None:
                positions = tl.load(line.positions + entry, mask=inside, other=0.0)
                hidden = is_hidden(asking[:, None], positions[None, :], seen.window, False)
            state = step(state, fixed, keys, values, addend, hidden)
    first, last, forced = own_range(seen, row)
    first = first // BLOCK_KEYS * BLOCK_KEYS
    if CAUSAL:
        last = tl.minimum(last, start + BLOCK_QUERIES)
    if seen.window is not None:
        first = tl.maximum(first, start - seen.window + 1)
        last = tl.minimum(last, start + BLOCK_QUERIES + seen.window - 1)
    for begin in range(first, last, BLOCK_KEYS):
        token = begin + tl.arange(0, BLOCK_KEYS)
        inside = token < seen.tokens
        keys = load_block(vectors_of(seen.own_keys, row, shared, token), inside, dims, DIM)
        values = load_block(vectors_of(seen.own_values, row, shared, token), inside, dims, DIM)
        addend = own_addend(seen, row, token, inside, forced)
        hidden = None
        if CAUSAL or seen.window is not None:
            hidden = is_hidden(asking[:, None], token[None, :], seen.window, CAUSAL)
        state = step(state, fixed, keys, values, addend, hidden)
    return state
