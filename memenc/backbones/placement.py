"""Where rotary attention places the entries of lines: every segment in its own frame, or the whole group in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from memenc.memory.values import TokenLine
from memenc_kernels import Line

# Rotates (..., tokens, dim) by positions that broadcast with (..., tokens).
Turn = Callable[[Tensor, Tensor], Tensor]


def share_entries(lines: Sequence[Line]) -> bool:
    """Whether several segments see the same entry, at different distances: then all need one frame."""
    return any(line.body_keys is not None and line.step != line.entries for line in lines)


def begins(rows: int, batch: int, segment_length: int, device: torch.device) -> Tensor:
    """Position of the first token of every row in the frame of its group, (rows, 1, 1) float64."""
    segments = torch.arange(rows // batch, device=device, dtype=torch.float64)
    return (segment_length * segments).repeat(batch)[:, None, None]


def placed(line: Line, turn: Turn, segment_length: int | None) -> Line:
    """The line with its keys turned to where its segments see them.

    Args:
        line: with positions, or it stays as it is; its step is at most as long as what is seen. Its keys are unrotated,
            but for the bodies of a `TokenLine`, which only move from the frame of one segment to another.
        turn: rotation of keys.
        segment_length: of the frame of the group; None for a frame per segment, if no entry is shared.
    """
    positions = line.positions
    if positions is None:
        return line
    if line.body_keys is None:
        return replace(line, head_keys=turn(line.head_keys, positions))
    places = positions[line.entries - line.step :].double()
    if isinstance(line, TokenLine) and line.tokens is not None:
        # The last token of a segment has this position in its own frame; all move alike.
        places = places[-1:] - (line.tokens.values.shape[3] - 1)
    if segment_length is not None:
        # What a segment appends is the end of what the next one sees.
        readers = segment_length * torch.arange(1, line.body_keys.shape[1] + 1, device=positions.device)
        places = readers[:, None, None] + places
    return replace(line, head_keys=turn(line.head_keys, positions), body_keys=turn(line.body_keys, places))
