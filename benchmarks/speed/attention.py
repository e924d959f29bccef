"""Memory attention over slots, a window and own tokens: ours, FlexAttention, and SDPA over gathered keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from speed.measure import Work
from speed.problem import Function, NotRun, Problem, Shape, in_both, require_triton
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from memenc_kernels import Line, memory_attention
from memenc_kernels.memory_attention.gather import gathered

BLOCK = 128
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def inputs(shape: Shape) -> tuple[list[Tensor], list[Tensor]]:
    """Queries, keys, values (rows, heads, tokens, dim); then slots and window before the group, and slots appended."""
    rows = [shape.states(shape.batch * shape.segments) for _ in range(3)]
    heads = [shape.random(shape.batch, shape.heads, count, shape.dim) for count in (shape.slots, shape.window)]
    values = [torch.randn_like(head) for head in heads]
    appended = (shape.batch, shape.segments, shape.heads, shape.segment // shape.rate, shape.dim)
    return rows, [heads[0], values[0], shape.random(*appended), shape.random(*appended), heads[1], values[1]]


def lines(shape: Shape, rows: list[Tensor], memory: list[Tensor], masked: bool = False) -> tuple[Line, Line]:
    """Slots, and the window, whose bodies are the segments' own tokens where they lie."""
    slot_keys, slot_values, new_keys, new_values, window_keys, window_values = memory
    bodies = [x.unflatten(0, (shape.batch, shape.segments)) for x in rows[1:]]
    extra: list[dict[str, Any]] = [{}, {}]
    if masked:
        widths = {"slots": (shape.slots, shape.slots), "window": (shape.window, 1)}
        extra = [_bias_and_validity(shape, *width) for width in widths.values()]
    return (
        Line(slot_keys, slot_values, new_keys, new_values, **extra[0]),
        Line(window_keys, window_values, *bodies, **extra[1]),
    )


def _bias_and_validity(shape: Shape, entries: int, width: int) -> dict[str, Tensor]:
    """As a document has them from its second segment on: a bias per head, all entries valid."""
    valid = torch.ones(shape.batch, shape.segments, entries, dtype=torch.bool, device=shape.device)
    return {"valid": valid, "bias": torch.zeros(shape.heads, width, device=shape.device, dtype=shape.dtype)}


def ours(shape: Shape, implementation: Any, masked: bool = False) -> Problem:
    rows, memory = inputs(shape)
    seen = lines(shape, rows, memory, masked)
    biases = [line.bias for line in seen if line.bias is not None]

    def call() -> Tensor:
        # Made anew, so that gradients reach the keys that the window shares with the segments.
        again = zip(lines(shape, rows, memory), seen, strict=True)
        now = [replace(line, valid=kept.valid, bias=kept.bias) for line, kept in again]
        return memory_attention(*rows, lines=now, implementation=implementation)

    return Problem(call, [*rows, *memory, *biases])


def with_bias_and_validity(shape: Shape) -> Problem:
    # Before anything is drawn: the reference is given the same numbers.
    require_triton(shape.device)
    return ours(shape, "triton", masked=True)


def sdpa(backend: str, gather: bool = False) -> Callable[[Shape], Problem]:
    """Scaled dot-product attention by one backend, over keys gathered per segment before or within what is timed."""

    def build(shape: Shape) -> Problem:
        if shape.device == "cpu" and backend != "flash":
            raise NotRun(f"there is no {backend} attention on a CPU")
        rows, memory = inputs(shape)

        def per_row() -> tuple[Tensor, Tensor, Tensor]:
            seen = gathered(lines(shape, rows, memory), rows[0], placed=False)
            keys, values = (
                torch.cat([seen[f"memory_{name}"], own], 2) for name, own in (("keys", rows[1]), ("values", rows[2]))
            )
            return rows[0], keys, values

        ready = None if gather else list(per_row())

        def call() -> Tensor:
            with sdpa_kernel([BACKENDS[backend]]):
                return scaled_dot_product_attention(*(per_row() if ready is None else ready))

        note = "" if gather else "keys gathered before"
        return Problem(call, [*rows, *memory] if ready is None else ready, note=note)

    return build


def flex(shape: Shape) -> Problem:
    """FlexAttention: one row of queries per document over the line of slots with the line of tokens behind it."""
    rows, memory = inputs(shape)
    keys, values = flex_lines(shape, rows, memory)
    queries = _one_row(shape, rows[0])
    mask = block_mask(shape)
    attend = flex_attention if shape.device == "cpu" else torch.compile(flex_attention, dynamic=False)
    if shape.device != "cpu":
        torch._functorch.config.donated_buffer = False

    def compared(found: Tensor) -> Tensor:
        return found.unflatten(2, (shape.segments, shape.segment)).transpose(1, 2).flatten(0, 1)

    note = f"{keys.shape[2]} keys in one row, joined before"
    return Problem(lambda: attend(queries, keys, values, block_mask=mask), [queries, keys, values], compared, note)


def _one_row(shape: Shape, states: Tensor) -> Tensor:
    """(rows, heads, tokens, dim) as (batch, heads, all tokens, dim)."""
    return states.unflatten(0, (shape.batch, shape.segments)).transpose(1, 2).flatten(2, 3)


def flex_lines(shape: Shape, rows: list[Tensor], memory: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Keys and values (batch, heads, entries, dim): slots before, slots appended, window before, tokens."""
    found = []
    for index in (0, 1):
        # What the last segment appends is seen by nobody.
        appended = memory[2 + index][:, :-1].transpose(1, 2).flatten(2, 3)
        found.append(torch.cat([memory[index], appended, memory[4 + index], _one_row(shape, rows[1 + index])], 2))
    return found[0], found[1]


def visible(shape: Shape) -> Callable[..., Tensor]:
    """Whether a query sees a key: segment s sees two ranges of places, one in each line."""
    segment, step = shape.segment, shape.segment // shape.rate
    slots, window, slot_line = shape.slots, shape.window, shape.slots + (shape.segments - 1) * step

    def mask(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        index = query // segment
        place, token = key - index * step, key - slot_line - index * segment
        in_slots = (key < slot_line) & (place >= 0) & (place < slots)
        return in_slots | ((key >= slot_line) & (token >= 0) & (token < window + segment))

    return mask


def block_mask(shape: Shape) -> BlockMask:
    """The mask by blocks; where blocks lie wholly in or out, only their corners are asked, for long documents."""
    mask, step = visible(shape), shape.segment // shape.rate
    keys = shape.slots + (shape.segments - 1) * step + shape.window + shape.tokens
    if any(length % BLOCK for length in (shape.segment, shape.slots, shape.window, step)):
        return create_block_mask(mask, None, None, shape.tokens, keys, shape.device, BLOCK)
    corners = [torch.arange(0, length, BLOCK, device=shape.device) for length in (shape.tokens, keys)]
    zero = torch.zeros((), dtype=torch.long, device=shape.device)
    seen = mask(zero, zero, corners[0][:, None], corners[1])[None, None]
    whole = seen.sum(-1, dtype=torch.int32), seen.byte().argsort(dim=-1, descending=True, stable=True).int()
    none = torch.zeros_like(whole[0]), torch.zeros_like(whole[1])
    return BlockMask.from_kv_blocks(*none, *whole, BLOCK_SIZE=BLOCK, mask_mod=mask, seq_lengths=(shape.tokens, keys))


def forward_work(shape: Shape) -> Work:
    keys = shape.slots + shape.window + shape.segment
    flops = 4 * shape.batch * shape.tokens * shape.heads * keys * shape.dim
    # Queries, keys, values and output; keys and values of the slots.
    return Work(flops, (4 + 2 / shape.rate) * shape.state_bytes)


def backward_work(shape: Shape) -> Work:
    # Five products instead of two; output and its gradient are read too, and there are gradients of all inputs.
    return Work(2.5 * forward_work(shape).flops, (8 + 4 / shape.rate) * shape.state_bytes)


MEMORY_ATTENTION = Function(
    "memory_attention",
    {
        "triton": in_both(ours)["triton"],
        "flex": flex,
        "sdpa flash": sdpa("flash"),
        "sdpa cudnn": sdpa("cudnn"),
        "triton, bias and validity": with_bias_and_validity,
        "sdpa flash, gather timed": sdpa("flash", gather=True),
        "sdpa efficient": sdpa("efficient"),
        "torch": in_both(ours)["torch"],
        "torch compiled": in_both(ours)["torch compiled"],
    },
    {"forward": forward_work, "backward": backward_work},
)
