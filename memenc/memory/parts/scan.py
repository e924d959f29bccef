"""Read, then write, segment by segment: how any layer memory runs along the segments of one backbone call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from memenc.memory.values import Entries, Retrieved, Scanned, SegmentGroup, State, TokenLine, WritePlan
from memenc.state import grown, without_history
from memenc_kernels import Line

if TYPE_CHECKING:
    from memenc.memory.base import LayerMemory

FOLD = "segments batch ... -> (batch segments) ..."


def scan_in_order(memory: LayerMemory, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
    """What each segment sees and the state after the last, one segment after the other."""
    entries: list[Entries] = []
    retrieved: list[tuple[Retrieved, ...]] = []
    losses: list[Tensor] = []
    for index in range(segments.count):
        if plan.cuts(index):
            state = detached(state)
        segment = segments.at(index)
        seen = memory.read(state)
        if seen is not None:
            entries.append(seen)
        retrieved.append(memory.retrieve(state, segment.queries))
        if plan.written[index] == "none":
            continue
        loss = memory.auxiliary_loss(state, segment) if memory.training else None
        if loss is not None:
            losses.append(torch.where(plan.complete[:, index], loss, 0.0))
        after = memory.write(state, segment)
        state = after if plan.written[index] == "all" else keep_where(plan.complete[:, index], after, state)
    lines = line_of_entries(entries, memory.positions(segments.values.device))
    return Scanned(lines, fold_retrieved(retrieved), state, torch.stack(losses).sum(0) if losses else None)


def keep_where(written: Tensor, after: State, before: State) -> State:
    """`after` for the documents that are `written` (batch,), `before` (zeros behind it if shorter) for the rest."""
    return {
        name: torch.where(written.view(-1, *[1] * (new.dim() - 1)), new, grown(before[name], new.shape))
        for name, new in after.items()
    }


def detached(state: State) -> State:
    """The same numbers without their history."""
    return {name: without_history(tensor) for name, tensor in state.items()}


def line_of_entries(seen: Sequence[Entries], positions: Tensor | None) -> tuple[Line, ...]:
    """The line of entries that change as a whole with every segment, none if there never are any."""
    if not seen or positions is None:
        return ()
    first, behind = seen[0], seen[1:]
    keys = torch.stack([entries.keys for entries in behind], 1) if behind else None
    values = torch.stack([entries.values for entries in behind], 1) if behind else None
    valid = torch.stack([entries.valid for entries in seen], 1)
    return (Line(first.keys, first.values, keys, values, valid, first.bias, positions),)


def line_of_window(head: Entries, tokens: SegmentGroup | Entries, filled: Tensor, positions: Tensor) -> Line:
    """The line of a memory that only appends: each segment pushes as many entries out as it brings.

    Args:
        head: what is kept before the group, newest last.
        tokens: what each segment appends, itself or keys and values (batch, segments, heads, step, dim).
        filled: how many entries are valid before each segment, (batch, segments).
        positions: (entries,) relative to the segment that reads.
    """
    entries = head.keys.shape[2]
    valid = torch.arange(entries, device=filled.device) >= entries - filled[..., None]
    # Of a segment that is longer than what is kept, only its end is ever seen.
    values = tokens.values[:, :, :, -entries:]
    if isinstance(tokens, Entries):
        return Line(head.keys, head.values, tokens.keys[:, :, :, -entries:], values, valid, head.bias, positions)
    keys = tokens.rotated_keys[:, :, :, -entries:]
    return TokenLine(head.keys, head.values, keys, values, valid, head.bias, positions, tokens)


def after_line(line: Line, plan: WritePlan) -> tuple[Tensor, Tensor]:
    """Keys and values that are kept after the group: what the segment behind each document's last would see."""
    if plan.written[0] == "none":
        return line.head_keys, line.head_values
    everywhere = plan.written[-1] == "all"
    assert line.body_keys is not None and line.body_values is not None
    needed = min(line.body_keys.shape[1], -(-line.entries // line.step)) if everywhere else line.body_keys.shape[1]
    keys, values = line.body_keys[:, line.body_keys.shape[1] - needed :], line.body_values
    if isinstance(line, TokenLine) and line.tokens is not None:
        # Kept keys carry no rotation. The copy that takes it off is the one that is kept.
        keys = line.tokens.last_keys(needed)[:, :, :, -line.step :]
    values = values[:, values.shape[1] - needed :]
    bodies = ((line.head_keys, keys), (line.head_values, values))
    keys, values = (_end(head, body, plan) for head, body in bodies)
    return keys, values


def _end(head: Tensor, body: Tensor, plan: WritePlan) -> Tensor:
    entries, step = head.shape[2], body.shape[3]
    if plan.written[-1] == "all":
        parts = [head[:, :, entries - max(entries - body.shape[1] * step, 0) :], *body.unbind(1)]
        # A copy of its own: a view would keep the whole group alive.
        return torch.cat(parts, dim=2)[:, :, -entries:].contiguous().to(head.dtype)
    places = step * plan.complete.sum(1)[:, None] + torch.arange(entries, device=head.device)
    line = torch.cat([head, *body.unbind(1)], dim=2)
    index = places[:, None, :, None].expand(-1, line.shape[1], -1, line.shape[3])
    return line.gather(2, index).to(head.dtype)


def fold_retrieved(seen: Sequence[tuple[Retrieved, ...]]) -> tuple[Retrieved, ...]:
    """What segments retrieved, in order, as rows; each segment retrieved the same kinds."""
    if len(seen) == 1:
        return seen[0]
    return tuple(_fold_kind(kinds) for kinds in zip(*seen, strict=True))


def _fold_kind(kinds: Sequence[Retrieved]) -> Retrieved:
    tensors = [kind.tensors() for kind in kinds]
    return kinds[0].with_tensors({name: rearrange([each[name] for each in tensors], FOLD) for name in tensors[0]})
