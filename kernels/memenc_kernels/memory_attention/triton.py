"""Memory attention in Triton: forward. One program per row, head and block of queries; keys are read where they lie."""

# Type checkers take the language of kernels for Python.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.architectures import architecture_of
from memenc_kernels.memory_attention.configurations import Configuration, configuration, rounded_dim
from memenc_kernels.memory_attention.line import Line

# Exponentials are powers of two in hardware.
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


class LineArguments(NamedTuple):
    """A `Line` as kernels take it; strides in numbers, (batch, [segment], head, entry) as far as a tensor has them."""

    head_keys: Any
    head_values: Any
    body_keys: Any
    body_values: Any
    valid: Any
    bias: Any
    positions: Any
    head_key_strides: Any
    head_value_strides: Any
    body_key_strides: Any
    body_value_strides: Any
    valid_strides: Any
    bias_strides: Any
    entries: Any
    step: Any


@triton.jit
def head_pointers(line, batch, head):
    """Where a document's entries of one head begin, keys and values."""
    keys = line.head_keys + batch * line.head_key_strides[0] + head * line.head_key_strides[1]
    values = line.head_values + batch * line.head_value_strides[0] + head * line.head_value_strides[1]
    return keys, values


@triton.jit
def body_pointers(line, batch, head):
    """The same for what the segments append."""
    keys = line.body_keys + batch * line.body_key_strides[0] + head * line.body_key_strides[2]
    values = line.body_values + batch * line.body_value_strides[0] + head * line.body_value_strides[2]
    return keys, values


@triton.jit
def line_pointers(line, batch, head, places, ALIGNED: tl.constexpr):
    """Where the keys and the values at these places of a line begin."""
    keys, values = head_pointers(line, batch, head)
    keys += places.to(tl.int64) * line.head_key_strides[2]
    values += places.to(tl.int64) * line.head_value_strides[2]
    if line.body_keys is not None:
        behind = tl.maximum(places - line.entries, 0)
        segment, entry = (behind // line.step).to(tl.int64), (behind % line.step).to(tl.int64)
        body_keys, body_values = body_pointers(line, batch, head)
        body_keys += segment * line.body_key_strides[1] + entry * line.body_key_strides[3]
        body_values += segment * line.body_value_strides[1] + entry * line.body_value_strides[3]
        keys = tl.where(places < line.entries, keys, body_keys)
        values = tl.where(places < line.entries, values, body_values)
        if ALIGNED:
            # The choice between two buffers hides from the compiler that both allow wide loads.
            keys, values = tl.multiple_of(keys, 16), tl.multiple_of(values, 16)
    return keys, values


@triton.jit
def line_addend(line, batch, segment, head, entry, inside):
    """What is added to the logits (base two) of entries as one segment sees them: the bias, or -inf where invalid."""
    if line.valid is not None:
        place = line.valid + batch * line.valid_strides[0] + segment * line.valid_strides[1]
        inside = inside & (tl.load(place + entry * line.valid_strides[2], mask=inside, other=0) != 0)
    addend = tl.where(inside, 0.0, float("-inf"))
    if line.bias is not None:
        bias = tl.load(line.bias + head * line.bias_strides[0] + entry * line.bias_strides[1], mask=inside, other=0.0)
        addend += bias.to(tl.float32) * LOG2_E
    return addend


@triton.jit
def line_distance(line, queries, entry, inside):
    """How far queries are from entries, (queries, entries); 0 where an entry is near to all."""
    positions = tl.load(line.positions + entry, mask=inside, other=float("nan"))
    distance = tl.abs(queries.to(tl.float32)[:, None] - positions[None, :])
    return tl.where((positions != positions)[None, :], 0.0, distance)


@triton.jit
def own_addend(valid, valid_strides, row, token, inside, forced):
    """What is added to the logits of own tokens: 0, or -inf where invalid."""
    if valid is not None:
        found = tl.load(valid + row * valid_strides[0] + token * valid_strides[1], mask=inside, other=0)
        inside = inside & ((found.to(tl.int32) + forced) != 0)
    return tl.where(inside, 0.0, float("-inf"))


@triton.jit
def own_pairs(queries, keys, window, CAUSAL: tl.constexpr, SLIDING: tl.constexpr):
    """Which queries see which own tokens, by place alone, (queries, keys)."""
    pairs = queries[:, None] >= 0
    if CAUSAL:
        pairs = queries[:, None] >= keys[None, :]
    if SLIDING:
        pairs = pairs & (tl.abs(queries[:, None] - keys[None, :]) < window)
    return pairs


@triton.jit
def own_reach(first, last, start, window, BLOCK: tl.constexpr, CAUSAL: tl.constexpr, SLIDING: tl.constexpr):
    """The part of [first, last) that a block of places from `start` on may look at."""
    if CAUSAL:
        last = tl.minimum(last, start + BLOCK)
    if SLIDING:
        first = tl.maximum(first, start - window + 1)
        last = tl.minimum(last, start + BLOCK + window - 1)
    return first, last


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
def attend_block(sums, total, maximum, queries, keys, values, scaling, addend, pairs):
    """Take one block of keys into the running softmax."""
    logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scaling + addend[None, :]
    if pairs is not None:
        logits = tl.where(pairs, logits, float("-inf"))
    newest = tl.maximum(maximum, tl.max(logits, 1))
    # Where nothing was seen yet the maximum is -inf, and the difference to it would be NaN.
    finite = tl.where(newest == float("-inf"), 0.0, newest)
    weights = tl.exp2(logits - finite[:, None])
    kept = tl.exp2(maximum - finite)
    sums = sums * kept[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    return sums, total * kept + tl.sum(weights, 1), newest


@triton.jit
def forward_kernel(
    queries,
    keys,
    values,
    valid,
    ranges,
    output,
    log_weight,
    query_strides,
    key_strides,
    value_strides,
    valid_strides,
    output_strides,
    lines,
    segments,
    tokens,
    heads,
    group,
    scaling,
    window,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    CAUSAL: tl.constexpr,
    SLIDING: tl.constexpr,
    SLIDING_MEMORY: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Output and log weight of a block of queries of one row and head."""
    blocks = tl.cdiv(tokens, BLOCK_QUERIES)
    row, start = (tl.program_id(0) // blocks).to(tl.int64), (tl.program_id(0) % blocks) * BLOCK_QUERIES
    head = tl.program_id(1).to(tl.int64)
    batch, segment, shared = row // segments, row % segments, head // group
    dims, asking = tl.arange(0, BLOCK_DIM), start + tl.arange(0, BLOCK_QUERIES)
    places = queries + row * query_strides[0] + head * query_strides[1] + asking.to(tl.int64) * query_strides[2]
    asked = load_block(places, asking < tokens, dims, DIM)
    scaling = scaling * LOG2_E
    sums = tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32)
    total = tl.zeros([BLOCK_QUERIES], tl.float32)
    maximum = tl.full([BLOCK_QUERIES], float("-inf"), tl.float32)

    for index in tl.static_range(len(lines)):
        line = lines[index]
        first, last = 0, line.entries
        if line.valid is not None:
            first = tl.load(ranges + row * 7 + 3 + 2 * index) // BLOCK_KEYS * BLOCK_KEYS
            last = tl.load(ranges + row * 7 + 4 + 2 * index)
        for begin in range(first, last, BLOCK_KEYS):
            entry = begin + tl.arange(0, BLOCK_KEYS)
            inside = entry < line.entries
            at_keys, at_values = line_pointers(line, batch, shared, segment.to(tl.int32) * line.step + entry, ALIGNED)
            addend = line_addend(line, batch, segment, head, entry, inside)
            block = load_block(at_keys, inside, dims, DIM)
            contents = load_block(at_values, inside, dims, DIM)
            if SLIDING_MEMORY and line.positions is not None:
                pairs = line_distance(line, asking, entry, inside) < window
                sums, total, maximum = attend_block(
                    sums, total, maximum, asked, block, contents, scaling, addend, pairs
                )
            else:
                sums, total, maximum = attend_block(sums, total, maximum, asked, block, contents, scaling, addend, None)

    first, last, forced = 0, tokens, 0
    if valid is not None:
        first = tl.load(ranges + row * 7) // BLOCK_KEYS * BLOCK_KEYS
        last = tl.load(ranges + row * 7 + 1)
        forced = tl.load(ranges + row * 7 + 2)
    first, last = own_reach(first, last, start, window, BLOCK_QUERIES, CAUSAL, SLIDING)
    for begin in range(first, last, BLOCK_KEYS):
        token = begin + tl.arange(0, BLOCK_KEYS)
        inside = token < tokens
        far = token.to(tl.int64)
        block = load_block(
            keys + row * key_strides[0] + shared * key_strides[1] + far * key_strides[2], inside, dims, DIM
        )
        contents = load_block(
            values + row * value_strides[0] + shared * value_strides[1] + far * value_strides[2], inside, dims, DIM
        )
        addend = own_addend(valid, valid_strides, row, token, inside, forced)
        if CAUSAL or SLIDING:
            pairs = own_pairs(asking, token, window, CAUSAL, SLIDING)
            sums, total, maximum = attend_block(sums, total, maximum, asked, block, contents, scaling, addend, pairs)
        else:
            sums, total, maximum = attend_block(sums, total, maximum, asked, block, contents, scaling, addend, None)

    nothing = total == 0.0
    safe = tl.where(nothing, 1.0, total)
    places = output + row * output_strides[0] + head * output_strides[1] + asking.to(tl.int64) * output_strides[2]
    store_block(places, sums / safe[:, None], asking < tokens, dims, DIM)
    weight = tl.where(nothing, float("-inf"), (maximum + tl.log2(safe)) * LN_2)
    tl.store(log_weight + (row * heads + head) * tokens + asking, weight, mask=asking < tokens)


@triton.jit
def find_range(valid, stride, length, BLOCK: tl.constexpr):
    """From the first valid place to behind the last; (length, 0) if there is none."""
    first, last = length, 0
    for begin in range(0, length, BLOCK):
        place = begin + tl.arange(0, BLOCK)
        found = tl.load(valid + place * stride, mask=place < length, other=0) != 0
        first = tl.minimum(first, tl.min(tl.where(found, place, length), 0))
        last = tl.maximum(last, tl.max(tl.where(found, place + 1, 0), 0))
    return first, last


@triton.jit
def ranges_kernel(valid, ranges, valid_strides, lines, segments, tokens, BLOCK: tl.constexpr):
    """Of every row: the range of its own valid tokens, whether there is none so that all count, that of every line."""
    row = tl.program_id(0).to(tl.int64)
    if valid is not None:
        first, last = find_range(valid + row * valid_strides[0], valid_strides[1], tokens, BLOCK)
        none = last == 0
        tl.store(ranges + row * 7, tl.where(none, 0, first))
        tl.store(ranges + row * 7 + 1, tl.where(none, tokens, last))
        tl.store(ranges + row * 7 + 2, none.to(tl.int32))
    for index in tl.static_range(len(lines)):
        line = lines[index]
        if line.valid is not None:
            at = line.valid + row // segments * line.valid_strides[0] + row % segments * line.valid_strides[1]
            first, last = find_range(at, line.valid_strides[2], line.entries, BLOCK)
            tl.store(ranges + row * 7 + 3 + 2 * index, first)
            tl.store(ranges + row * 7 + 4 + 2 * index, last)


def forward(tensors: Sequence[Any], lines: Sequence[Line], results: Sequence[Tensor], options: Sequence[Any]) -> None:
    """Fill `results`: output, log weight and ranges."""
    queries, _, _, valid = tensors
    output, log_weight, ranges = results
    common = common_arguments(tensors, lines, options)
    if valid is not None or any(line.valid is not None for line in lines):
        named = {name: common[name] for name in ("valid", "valid_strides", "lines", "segments", "tokens")}
        launch.start(ranges_kernel, (len(queries),), queries, ranges=ranges, **named, BLOCK=1024)
    chosen = chosen_configuration("forward", queries)
    grid = (len(queries) * triton.cdiv(queries.shape[2], chosen.queries), queries.shape[1])
    launch.start(
        forward_kernel,
        grid,
        queries,
        **common,
        ranges=ranges,
        output=output,
        log_weight=log_weight,
        output_strides=output.stride()[:3],
        ALIGNED=is_aligned(common["lines"]),
        **block_arguments(chosen, queries),
    )


def common_arguments(tensors: Sequence[Any], lines: Sequence[Line], options: Sequence[Any]) -> dict[str, Any]:
    """What forward and backward kernels have in common."""
    queries, keys, values, valid = (None if each is None else as_numbers(each) for each in tensors)
    scaling, causal, sliding_window, memory_in_sliding_window = options
    sliding = sliding_window is not None
    return {
        "queries": queries,
        "keys": keys,
        "values": values,
        "valid": valid,
        "query_strides": queries.stride()[:3],
        "key_strides": keys.stride()[:3],
        "value_strides": values.stride()[:3],
        "valid_strides": None if valid is None else valid.stride(),
        "lines": line_arguments(lines),
        "segments": len(queries) // len(lines[0].head_keys) if lines else 1,
        "tokens": queries.shape[2],
        "heads": queries.shape[1],
        "group": queries.shape[1] // keys.shape[1],
        "scaling": scaling,
        "window": sliding_window if sliding else 0,
        "CAUSAL": causal,
        "SLIDING": sliding,
        "SLIDING_MEMORY": sliding and memory_in_sliding_window,
    }


def line_arguments(lines: Sequence[Line]) -> tuple[LineArguments, ...]:
    """Lines as kernels take them."""
    return tuple(_line_arguments(line) for line in lines)


def _line_arguments(line: Line) -> LineArguments:
    names = ("head_keys", "head_values", "body_keys", "body_values", "valid", "bias", "positions")
    tensors = [None if (each := getattr(line, name)) is None else as_numbers(each) for name in names]
    axes = (3, 3, 4, 4, 3, 2)
    strides = [None if each is None else each.stride()[:count] for each, count in zip(tensors, axes, strict=False)]
    return LineArguments(*tensors, *strides, line.entries, line.step)


def as_numbers(tensor: Tensor) -> Tensor:
    """A tensor as kernels read it: masks as bytes, neighbours of the last axis side by side."""
    if tensor.dtype == torch.bool:
        return tensor.view(torch.uint8)
    return tensor if tensor.dim() < 3 or tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def is_aligned(lines: Sequence[LineArguments]) -> bool:
    """Whether every entry of every line begins at a multiple of 16 bytes."""
    for line in lines:
        tensors = (line.head_keys, line.head_values, line.body_keys, line.body_values)
        for each in tensors:
            if each is not None and any(size % 16 for size in (each.data_ptr(), *_bytes(each))):
                return False
    return True


def _bytes(tensor: Tensor) -> list[int]:
    return [stride * tensor.element_size() for stride in tensor.stride()[:-1]]


def chosen_configuration(kernel: str, queries: Tensor) -> Configuration:
    """The configuration for these queries on their device."""
    architecture = architecture_of(queries.device)
    return configuration(architecture, kernel, rounded_dim(queries.shape[3]), queries.element_size(), queries.shape[2])


def block_arguments(chosen: Configuration, queries: Tensor) -> dict[str, int]:
    """Block sizes and launch options by name."""
    dim = queries.shape[3]
    return {
        "DIM": dim,
        "BLOCK_DIM": rounded_dim(dim),
        "BLOCK_QUERIES": chosen.queries,
        "BLOCK_KEYS": chosen.keys,
        "num_warps": chosen.warps,
        "num_stages": chosen.stages,
    }
