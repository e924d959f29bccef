"""Which segments go through the backbone together. The numbers that come out do not depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.memory import WritePlan
from memenc.memory.values import Written
from memenc.segments import Segments

# Tokens of one backbone call. On a CPU throughput was measured (benchmarks/schedules.py): one to four segments of 512
# are alike, more only costs memory. The numbers for other devices are estimates until that benchmark has run on one.
TOKENS_PER_CALL = {"cpu": 2_048, "cuda": 65_536}
TOKENS_PER_CALL_ELSEWHERE = 16_384


@dataclass(frozen=True)
class Group:
    """Segments of one backbone call.

    Shapes: ids (batch, segments, tokens); valid like it, or None if all are; partial (batch, segments). `plan` says
    which documents complete which segments; `ends` whether any document has its unfinished segment here.
    """

    ids: Tensor
    valid: Tensor | None
    partial: Tensor
    plan: WritePlan
    ends: bool


def resolve_segments_per_call(setting: int | str, device: torch.device, batch: int, segment_length: int) -> int:
    """Segments of each document per backbone call: as set, or the measured default of the device for "auto"."""
    if isinstance(setting, int) and setting >= 1:
        return setting
    if setting != "auto":
        raise ValueError(f'segments_per_call={setting!r}: give "auto" or a whole number of at least 1')
    tokens = TOKENS_PER_CALL.get(device.type, TOKENS_PER_CALL_ELSEWHERE)
    return max(1, tokens // (batch * segment_length))


def groups_of(segments: Segments, segments_per_call: int, bptt_segments: int | None = None) -> Iterator[Group]:
    """The segments of a batch in groups, in reading order; gradient through memory is cut every `bptt_segments`."""
    ids, valid = _without_empty_columns(segments)
    for start in range(0, segments.count, segments_per_call):
        part = slice(start, start + segments_per_call)
        indices = range(segments.count)[part]
        full = all(total >= (index + 1) * segments.capacity for total in segments.totals for index in indices)
        yield Group(
            ids=ids[:, part],
            valid=None if full else valid[:, part],
            partial=segments.partial[:, part],
            plan=WritePlan(
                segments.complete[:, part],
                tuple(_written(segments, index) for index in indices),
                tuple(bool(bptt_segments) and index > 0 and index % bptt_segments == 0 for index in indices),
                in_order=not segments.knocked_out,
            ),
            ends=any(total % segments.capacity and total // segments.capacity in indices for total in segments.totals),
        )


def _written(segments: Segments, index: int) -> Written:
    writing = sum(total >= (index + 1) * segments.capacity for total in segments.totals)
    if writing == 0:
        return "none"
    return "all" if writing == len(segments.totals) and not segments.knocked_out else "some"


def _without_empty_columns(segments: Segments) -> tuple[Tensor, Tensor]:
    """Ids and validity; short documents, one unfinished segment each, are not padded to a whole one."""
    special = segments.ids.shape[2] - segments.capacity
    longest = max(segments.totals)
    width = -(-max(1, longest + special) // 8) * 8
    if longest >= segments.capacity or width >= segments.ids.shape[2]:
        return segments.ids, segments.valid
    return segments.ids[:, :, :width], segments.valid[:, :, :width]
