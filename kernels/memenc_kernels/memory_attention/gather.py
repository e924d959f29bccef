"""Lines gathered into entries per row, for the torch reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memenc_kernels.memory_attention.line import Line


def gathered(lines: Sequence[Line], queries: Tensor, placed: bool) -> dict[str, Any]:
    """The arguments ``memory_*`` of the reference for these lines, one behind the other; positions if `placed`."""
    if not lines:
        return {}
    segments, heads = len(queries) // len(lines[0].head_keys), queries.shape[1]
    biased = any(line.bias is not None for line in lines)
    masked = any(line.valid is not None for line in lines)
    return {
        "memory_keys": _rows([_seen(line.head_keys, line.body_keys, segments) for line in lines], 3),
        "memory_values": _rows([_seen(line.head_values, line.body_values, segments) for line in lines], 3),
        "memory_valid": _rows([_valid(line, segments) for line in lines], 2) if masked else None,
        "memory_bias": _joined([_bias(line, heads) for line in lines], 1) if biased else None,
        "memory_positions": _joined([_positions(line) for line in lines], 0) if placed else None,
    }


def _seen(head: Tensor, body: Tensor | None, segments: int) -> Tensor:
    """What each segment sees, (batch, segments, key_value_heads, entries, dim)."""
    if segments == 1 or body is None:
        return head[:, None]
    bodies = body[:, : segments - 1]
    if body.shape[3] == head.shape[2]:
        return torch.cat([head[:, None], bodies], dim=1)
    # One copy of the line, then views of it that overlap.
    line = torch.cat([head, *bodies.unbind(1)], dim=2)
    return line.unfold(2, head.shape[2], body.shape[3]).permute(0, 2, 1, 4, 3)


def _rows(parts: list[Tensor], axis: int) -> Tensor:
    return _joined(parts, axis).flatten(0, 1)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)


def _valid(line: Line, segments: int) -> Tensor:
    if line.valid is not None:
        return line.valid
    shape = (len(line.head_keys), segments, line.entries)
    return torch.ones(shape, dtype=torch.bool, device=line.head_keys.device)


def _bias(line: Line, heads: int) -> Tensor:
    if line.bias is None:
        return line.head_keys.new_zeros(heads, line.entries)
    return line.bias.expand(-1, line.entries)


def _positions(line: Line) -> Tensor:
    if line.positions is None:
        return torch.full((line.entries,), torch.nan, device=line.head_keys.device)
    return line.positions.to(torch.float32)
