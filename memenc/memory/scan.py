"""Read, then write, segment by segment: how any layer memory runs along the segments of one backbone call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from memenc.memory.values import Entries, Retrieved, Scanned, Segment, State, WritePlan
from memenc.state import grown

if TYPE_CHECKING:
    from memenc.memory.base import LayerMemory

FOLD = "segments batch ... -> (batch segments) ..."


def scan_in_order(memory: LayerMemory, state: State, segments: Segment, plan: WritePlan) -> Scanned:
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
    return Scanned(
        fold_entries(entries), fold_retrieved(retrieved), state, torch.stack(losses).sum(0) if losses else None
    )


def keep_where(written: Tensor, after: State, before: State) -> State:
    """`after` for the documents that are `written` (batch,), `before` (zeros behind it if shorter) for the rest."""
    return {
        name: torch.where(written.view(-1, *[1] * (new.dim() - 1)), new, grown(before[name], new.shape))
        for name, new in after.items()
    }


def detached(state: State) -> State:
    """The same numbers without their history."""
    return {name: tensor.detach() for name, tensor in state.items()}


def fold_entries(seen: Sequence[Entries]) -> Entries | None:
    """Entries of segments, in order, as rows."""
    if not seen:
        return None
    if len(seen) == 1:
        return seen[0]
    keys, values, valid = (
        rearrange([getattr(entries, name) for entries in seen], FOLD) for name in ("keys", "values", "valid")
    )
    return Entries(keys, values, valid, seen[0].bias)


def fold_retrieved(seen: Sequence[tuple[Retrieved, ...]]) -> tuple[Retrieved, ...]:
    """What segments retrieved, in order, as rows; each segment retrieved the same kinds."""
    if len(seen) == 1:
        return seen[0]
    return tuple(_fold_kind(kinds) for kinds in zip(*seen, strict=True))


def _fold_kind(kinds: Sequence[Retrieved]) -> Retrieved:
    tensors = [kind.tensors() for kind in kinds]
    return kinds[0].with_tensors({name: rearrange([each[name] for each in tensors], FOLD) for name in tensors[0]})
