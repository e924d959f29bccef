"""What reading segments leaves, group by group and together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.backbones.attention import GroupContext


@dataclass(frozen=True)
class Through:
    """What a group's way through the backbone leaves, states being (batch, segments, tokens, hidden).

    `last` is the last layer's, `read` what the readout sees, `layers` all if asked for, `beside` memory tokens.
    """

    last: Tensor
    read: Tensor
    beside: Tensor | None
    layers: tuple[Tensor, ...]
    context: GroupContext


@dataclass(frozen=True)
class Keep:
    """What of the way is kept beside the final state; all of it grows with the document.

    Args:
        token_states: of the last layer.
        segment_states: their means, segment by segment.
        layers: token states of every layer.
    """

    token_states: bool = True
    segment_states: bool = False
    layers: bool = False


@dataclass(frozen=True)
class Encoded:
    """What reading leaves.

    Args:
        state: final.
        token_states: (batch, segments, tokens, hidden), if kept.
        segment_states: (batch, segments, hidden), mean over the tokens of every segment, zeros where there is none; if
            kept.
        loss: auxiliary, (batch,), if the design has one: of a group its sum, together the mean over what was written.
        layers: token states of every layer, the input of the first before them, if kept.
        tie: a zero through which the gradient passes backbone calls that were made only to stay in step with other
            processes.
    """

    state: dict[str, Tensor]
    token_states: Tensor | None
    segment_states: Tensor | None
    loss: Tensor | None
    layers: tuple[Tensor, ...] = ()
    tie: Tensor | None = None


def together(state: dict[str, Tensor], groups: Sequence[Encoded], writes: Tensor) -> Encoded:
    """What all groups leave, one behind the other.

    Args:
        state: of the last.
        groups: in their order.
        writes: (batch,) how often something was written: losses are means over it.
    """
    token_states = [group.token_states for group in groups if group.token_states is not None]
    segment_states = [group.segment_states for group in groups if group.segment_states is not None]
    losses = [group.loss for group in groups if group.loss is not None]
    ties = [group.tie for group in groups if group.tie is not None]
    return Encoded(
        state,
        torch.cat(token_states, dim=1) if token_states else None,
        torch.cat(segment_states, dim=1) if segment_states else None,
        torch.stack(losses).sum(0) / writes if losses else None,
        tuple(torch.cat(parts, dim=1) for parts in zip(*(group.layers for group in groups), strict=True)),
        torch.stack(ties).sum() if ties else None,
    )


def token_states_at(rows: Tensor | None, row_index: Tensor) -> Tensor | None:
    """States of the input's tokens, (batch, tokens, hidden), from rows (batch, segments, tokens, hidden)."""
    if rows is None:
        return None
    flat = rows.flatten(1, 2)
    found = flat.gather(1, row_index.clamp(min=0)[..., None].expand(-1, -1, flat.shape[-1]))
    return torch.where((row_index >= 0)[..., None], found, 0.0)
