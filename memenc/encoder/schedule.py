"""Which segments go through the backbone together. The numbers that come out do not depend on it."""

from __future__ import annotations

import math
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

    Shapes: ids (batch, segments, tokens); valid like it, or None if all are; types like it, or None if all are 0;
    partial (batch, segments); own_tokens (batch,), of complete segments. `plan` says which documents complete which
    segments; `ends` whether any document has its unfinished segment here.
    """

    ids: Tensor
    valid: Tensor | None
    types: Tensor | None
    partial: Tensor
    own_tokens: Tensor
    plan: WritePlan
    ends: bool


def resolve_segments_per_call(setting: int | str, device: torch.device, batch: int, segment_length: int) -> int:
    """Segments of each document per backbone call: as set, or the measured default of the device for "auto"."""
    if isinstance(setting, int) and setting >= 1:
        return setting
    if setting != "auto":
        raise ValueError(f'segments_per_call={setting!r}: give "auto" or a whole number of at least 1')
    return max(1, tokens_per_backbone_call(device) // (batch * segment_length))


def tokens_per_backbone_call(device: torch.device) -> int:
    """Tokens of one backbone call beyond which a device becomes no faster."""
    return TOKENS_PER_CALL.get(device.type, TOKENS_PER_CALL_ELSEWHERE)


def groups_of(
    segments: Segments, segments_per_call: int, bptt_segments: int | None = None, multiple: int = 1
) -> Iterator[Group]:
    """The segments of a batch in groups, in reading order; gradient through memory is cut every `bptt_segments`.

    Rows of short documents have a multiple of `multiple` tokens.
    """
    width = _occupied_columns(segments, multiple)
    ids, valid = segments.ids[:, :, :width], segments.valid[:, :, :width]
    types = None if segments.types is None else segments.types[:, :, :width]
    lengths = list(zip(segments.totals, segments.capacities, strict=True))
    for start in range(0, segments.count, segments_per_call):
        part = slice(start, start + segments_per_call)
        indices = range(segments.count)[part]
        full = all(total >= indices.stop * capacity for total, capacity in lengths)
        yield Group(
            ids=ids[:, part],
            valid=None if full else valid[:, part],
            types=None if types is None else types[:, part],
            partial=segments.partial[:, part],
            own_tokens=segments.complete[:, part].sum(1) * segments.capacity,
            plan=WritePlan(
                segments.complete[:, part],
                tuple(_written(segments, index) for index in indices),
                tuple(bool(bptt_segments) and index > 0 and index % bptt_segments == 0 for index in indices),
                in_order=not segments.knocked_out,
            ),
            ends=any(total % capacity and total // capacity in indices for total, capacity in lengths),
        )


def _written(segments: Segments, index: int) -> Written:
    lengths = zip(segments.totals, segments.capacities, strict=True)
    writing = sum(total >= (index + 1) * capacity for total, capacity in lengths)
    if writing == 0:
        return "none"
    return "all" if writing == len(segments.totals) and not segments.knocked_out else "some"


def _occupied_columns(segments: Segments, multiple: int) -> int:
    """Tokens of a row that anybody needs: short documents, one unfinished segment each, are not padded to a whole."""
    whole = segments.ids.shape[2]
    lengths = list(zip(segments.totals, segments.capacities, strict=True))
    if any(total >= capacity for total, capacity in lengths):
        return whole
    longest = max(whole - capacity + total for total, capacity in lengths)
    unit = math.lcm(8, multiple)
    return min(whole, -(-max(1, longest) // unit) * unit)
