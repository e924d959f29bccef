"""The memory updates: linear memory, compression, document pooling, gated slots, rings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from speed.measure import Work
from speed.problem import Function, Problem, Shape, in_both, require_installed
from torch import Tensor

from memenc_kernels import Rotation, compress, document_pooling, gated_update, linear_memory, rotate
from memenc_kernels.ring_append import How, Rings, ring_append

# As the document memory has them.
QUERIES, SCALES = 4, 8


def linear(shape: Shape, implementation: Any) -> Problem:
    inputs = [shape.states(shape.batch, shape.segments) for _ in range(3)]
    exact = {"device": shape.device, "dtype": torch.float32}
    state = {
        "matrix": torch.zeros(shape.batch, shape.heads, shape.dim, shape.dim, **exact),
        "normaliser": torch.zeros(shape.batch, shape.heads, shape.dim, **exact),
    }
    complete = torch.ones(shape.batch, shape.segments, dtype=torch.bool, device=shape.device)
    known = torch.arange(shape.segments, device=shape.device).expand_as(complete) > 0
    options = {"complete": complete, "known": known, "rule": "delta", "implementation": implementation}
    return Problem(lambda: linear_memory(*inputs, **state, **options), [*inputs, *state.values()])


def flash_linear_attention(shape: Shape) -> Problem:
    """The delta rule of the package flash-linear-attention, which follows tokens, not segments."""
    require_installed("fla")
    from fla.ops.delta_rule import chunk_delta_rule

    inputs = [torch.randn(shape.batch, shape.tokens, shape.heads, shape.dim, device=shape.device) for _ in range(3)]
    inputs[1] = torch.nn.functional.normalize(inputs[1], dim=-1)
    inputs = [x.to(shape.dtype) for x in inputs]
    strength = torch.rand(inputs[0].shape[:3], device=shape.device).to(shape.dtype)

    def call() -> Tensor:
        return chunk_delta_rule(*inputs, strength)[0]

    return Problem(call, [*inputs, strength], _not_compared, "another recurrence: by token, without normaliser")


def _not_compared(found: Any) -> Tensor:
    return torch.empty(0)


def linear_forward(shape: Shape) -> Work:
    # Three products of tokens x dim x dim: what queries retrieve, what keys retrieve, what is written.
    return Work(6 * shape.state_bytes / shape.dtype.itemsize * shape.dim, 4 * shape.state_bytes)


def linear_backward(shape: Shape) -> Work:
    return Work(2 * linear_forward(shape).flops, 7 * shape.state_bytes)


def compression(shape: Shape, implementation: Any) -> Problem:
    inputs = [shape.states(shape.batch * shape.segments) for _ in range(2)]
    return Problem(lambda: compress(*inputs, rate=shape.rate, implementation=implementation), inputs)


def compression_work(shape: Shape) -> Work:
    """The same both ways: tokens on one side, slots on the other."""
    numbers = shape.state_bytes / shape.dtype.itemsize
    return Work(2 * numbers, 2 * (1 + 1 / shape.rate) * shape.state_bytes)


def pooling(shape: Shape, implementation: Any) -> Problem:
    hidden = shape.heads * shape.dim
    states, query = shape.random(shape.batch, shape.tokens, hidden), shape.random(QUERIES, hidden) * hidden**-0.5
    valid = torch.ones(shape.batch, shape.tokens, dtype=torch.bool, device=shape.device)
    before = torch.full((shape.batch, QUERIES), -torch.inf, device=shape.device)
    scales = torch.linspace(0.5, 3.0, SCALES, device=shape.device)

    def call() -> tuple[Tensor, ...]:
        return tuple(document_pooling(states, valid, query, before, scales, implementation=implementation))

    return Problem(call, [states, query], lambda found: found[4])


def pooling_forward(shape: Shape) -> Work:
    numbers = shape.state_bytes / shape.dtype.itemsize
    return Work(2 * numbers * QUERIES * (1 + SCALES), shape.state_bytes + shape.batch * shape.tokens)


def pooling_backward(shape: Shape) -> Work:
    return Work(2 * pooling_forward(shape).flops, 2 * shape.state_bytes + shape.batch * shape.tokens)


def gated(shape: Shape, implementation: Any) -> Problem:
    documents = shape.batch * shape.segments
    size = (2, shape.heads, shape.slots, shape.dim)
    slots, content, keep = shape.random(documents, *size), shape.random(documents, *size), shape.random(*size)
    fresh = torch.zeros(documents, dtype=torch.bool, device=shape.device)
    longest = torch.full((documents, 2, shape.heads), 2.0 * shape.dim**0.5, device=shape.device, dtype=shape.dtype)

    def call() -> Tensor:
        return gated_update(slots, content, keep, fresh=fresh, longest=longest, implementation=implementation)

    return Problem(call, [slots, content, keep], note=f"{documents} documents of one segment")


def _gated_work(tensors: int) -> Callable[[Shape], Work]:
    def work(shape: Shape) -> Work:
        numbers = 2 * shape.batch * shape.segments * shape.heads * shape.slots * shape.dim
        return Work(8 * numbers, tensors * numbers * shape.dtype.itemsize)

    return work


def rings(shape: Shape, implementation: Any) -> Problem:
    documents, size = shape.batch * shape.segments, (shape.heads, shape.dim)
    counts = [shape.window + shape.segment] * 2 + [shape.slots] * 2
    buffers = Rings(*(shape.random(documents, size[0], count, size[1]) for count in counts))
    keys, values = shape.states(documents), shape.states(documents)
    written = torch.full((documents,), 2 * (shape.window + shape.segment), device=shape.device)
    lengths = torch.full_like(written, shape.segment)
    how = How(shape.rate)

    def call() -> Tensor:
        # In place and the same every time: the same tokens go to the same places.
        return ring_append(
            buffers, written, keys, values, lengths, window=shape.window, how=how, implementation=implementation
        )

    return Problem(call, [], lambda _: buffers.slot_keys, f"{documents} documents of one segment")


def rings_work(shape: Shape) -> Work:
    # Keys and values of the segment are read and written, those that leave are read, and their slots written.
    return Work(4 * shape.state_bytes / shape.dtype.itemsize, 2 * (3 + 1 / shape.rate) * shape.state_bytes)


def rotation(shape: Shape, implementation: Any) -> Problem:
    keys = shape.states(shape.batch, shape.segments)
    # From the frame of each segment into that of its group.
    moved = shape.segment * torch.arange(shape.segments, device=shape.device)[:, None, None]
    frequencies = 10_000.0 ** -torch.linspace(0, 1, shape.dim // 2, device=shape.device)
    turn = Rotation.by(moved, frequencies, interleaved=False, dtype=torch.float32)
    return Problem(lambda: rotate(keys, turn, implementation=implementation), [keys])


def rotation_work(shape: Shape) -> Work:
    return Work(3 * shape.state_bytes / shape.dtype.itemsize, 2 * shape.state_bytes)


UPDATES = (
    Function(
        "linear_memory",
        {**in_both(linear), "fla chunk_delta_rule": flash_linear_attention},
        {"forward": linear_forward, "backward": linear_backward},
    ),
    Function("document_pooling", in_both(pooling), {"forward": pooling_forward, "backward": pooling_backward}),
    Function("compression", in_both(compression), {"forward": compression_work, "backward": compression_work}),
    Function("gated_update", in_both(gated), {"forward": _gated_work(3), "backward": _gated_work(5)}),
    Function("rotation", in_both(rotation), {"forward": rotation_work, "backward": rotation_work}),
    # The reference of rings goes document by document in Python: there is nothing to compile.
    Function("ring_append", {name: in_both(rings)[name] for name in ("triton", "torch")}, {"forward": rings_work}),
)
