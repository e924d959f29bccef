"""Read, then write, segment by segment: how any layer memory runs along the segments of one backbone call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from memenc.memory.base import Entries, LayerMemory, Segment, State

Written = Literal["all", "some", "none"]


def scan(
    memory: LayerMemory, state: State, segments: Segment, complete: Tensor, written: Sequence[Written]
) -> tuple[Entries | None, State, Tensor | None]:
    """Entries that each segment sees, the state after the last, and the auxiliary loss summed over segments.

    Args:
        memory: the design of this layer.
        state: before the first segment.
        segments: queries, keys, values, each (batch, segments, heads, tokens, head_dim).
        complete: (batch, segments); only full segments are written, for all others the state stays bit for bit.
        written: for each segment whether it is complete in all, some or none of the documents, known on the host.

    Returns:
        entries (rows, key_value_heads, entries, head_dim) with rows = batch * segments, or None; state; loss (batch,).
    """
    seen: list[Entries] = []
    losses: list[Tensor] = []
    for index in range(segments.keys.shape[1]):
        entries = memory.read(state)
        if entries is not None:
            seen.append(entries)
        if written[index] == "none":
            continue
        segment = Segment(segments.queries[:, index], segments.keys[:, index], segments.values[:, index])
        loss = memory.auxiliary_loss(state, segment) if memory.training else None
        if loss is not None:
            losses.append(torch.where(complete[:, index], loss, 0.0))
        after = memory.write(state, segment)
        state = after if written[index] == "all" else keep_where(complete[:, index], after, state)
    return _fold(seen), state, torch.stack(losses).sum(0) if losses else None


def keep_where(written: Tensor, after: State, before: State) -> State:
    """`after` for the documents that are `written` (batch,), `before` for the others."""
    return {
        name: torch.where(written.view(-1, *[1] * (new.dim() - 1)), new, before[name]) for name, new in after.items()
    }


def _fold(seen: list[Entries]) -> Entries | None:
    if not seen:
        return None
    if len(seen) == 1:
        return seen[0]
    keys, values, valid = (
        rearrange([getattr(entries, name) for entries in seen], "segments batch ... -> (batch segments) ...")
        for name in ("keys", "values", "valid")
    )
    return Entries(keys, values, valid)
