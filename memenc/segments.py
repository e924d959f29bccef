"""Cut documents into segments and find every token again.

A *segment* is one row of the backbone: ``prefix + own tokens + suffix``, where prefix and suffix are the special tokens
the backbone was pre-trained with (``[CLS] ... [SEP]``). Where a question is asked or an instruction given, it stands
before the own tokens of every segment, as the first text of a pair: ``prefix + instruction + question + separator + own
tokens + suffix``. Every segment of a document is full except, perhaps, its last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memenc.lead import Lead, Question, SpecialTokens, check_room, lead_of, token_types


@dataclass(frozen=True)
class Pending:
    """What a call leaves to the next, per document.

    Args:
        ids: (batch, capacity) own tokens of the segment that is not full yet.
        length: (batch,) how many they are.
        started: (batch,) own tokens were read before.
        opened: (batch,) the document began with the special tokens a tokenizer puts first, so that it will end with
            those it puts last.
        closed: (batch,) the document ended with those it puts last, which are its own if it goes on.
    """

    ids: Tensor
    length: Tensor
    started: Tensor
    opened: Tensor
    closed: Tensor

    def kept(self) -> dict[str, Tensor]:
        """What a state keeps; whether anything was read is known there."""
        return {"ids": self.ids, "length": self.length, "opened": self.opened, "closed": self.closed}


@dataclass(frozen=True)
class Segments:
    """A batch of documents cut into rows.

    Shapes: ids, valid (batch, segments, tokens); types like ids, or None if all are 0; complete, partial (batch,
    segments); own_tokens (batch,), tokens of the input that belong to the document; row_index (batch, input tokens),
    place of every input token in the flattened rows, -1 for padding; capacity (batch,), own tokens of a full segment.
    `totals` and `capacities` repeat the documents' lengths (own tokens, pending ones included) and capacities on the
    host, so that nothing later has to ask the device. `knocked_out` says that `complete` and `partial` leave out
    segments that are there.
    """

    ids: Tensor
    valid: Tensor
    complete: Tensor
    partial: Tensor
    own_tokens: Tensor
    pending: Pending
    row_index: Tensor
    totals: tuple[int, ...]
    capacity: Tensor
    capacities: tuple[int, ...]
    padding: int
    types: Tensor | None = None
    knocked_out: bool = False

    @property
    def count(self) -> int:
        """Segments of the longest document of the batch."""
        return self.ids.shape[1]


def cut_into_segments(
    input_ids: Tensor,
    attention_mask: Tensor,
    special: SpecialTokens,
    segment_length: int,
    pending: Pending,
    question: Question | None = None,
) -> Segments:
    """Lay the own tokens of every document out in segments, after those still pending from the call before.

    Args:
        input_ids: (batch, tokens) documents; special tokens at their ends are recognised and not doubled.
        attention_mask: (batch, tokens), 0 for padding, which may stand anywhere.
        special: what surrounds the own tokens of every segment.
        segment_length: tokens of a segment, special tokens and question included.
        pending: own tokens that were read before but did not fill a segment.
        question: stands in every segment and costs room there; None if nothing is asked.

    Raises:
        ValueError: a question that leaves no room for the document.
    """
    lead = lead_of(len(input_ids), special, question, input_ids)
    capacity = segment_length - lead.length - len(special.suffix)
    capacities = tuple(capacity.tolist())
    check_room(capacities, special, segment_length)
    leading, trailing = _document_ends(input_ids, attention_mask, special, pending)
    opened, width = pending.opened | leading.any(1), pending.ids.shape[1]
    goes_on = attention_mask.any(1)
    pending = _reopened(pending, goes_on & ~leading.any(1), special)
    closed = trailing.any(1) | (pending.closed & ~goes_on)
    own = attention_mask & ~leading & ~trailing
    own_tokens = own.sum(1)
    total = pending.length + own_tokens
    totals = tuple(total.tolist())
    count = max(1, *(-(-own // room) for own, room in zip(totals, capacities, strict=True)))
    rank = own.cumsum(1) - 1 + pending.length[:, None]
    content = _place(input_ids, own, rank, pending, count * max(capacities), special.padding)

    starts = torch.arange(count, device=input_ids.device) * capacity[:, None]
    lengths = torch.minimum((total[:, None] - starts).clamp(min=0), capacity[:, None])
    ids, valid = _rows(content, starts, lengths, lead, special, segment_length)
    complete = lengths == capacity[:, None]
    return Segments(
        ids=ids,
        valid=valid,
        complete=complete,
        partial=(lengths > 0) & ~complete,
        own_tokens=own_tokens,
        pending=_unfinished(content, total, capacity, width, special.padding, opened, closed),
        row_index=_row_index(own, leading, trailing, rank, total, lead, capacity, segment_length),
        totals=totals,
        capacity=capacity,
        capacities=capacities,
        types=token_types(ids, lead, special) if question is not None else None,
        padding=special.padding,
    )


def with_empty_segments(segments: Segments, count: int) -> Segments:
    """The same documents with so many segments of nothing but padding behind; no state and no token takes notice."""

    def behind(rows: Tensor) -> Tensor:
        return torch.cat([rows, torch.zeros_like(rows[:, :1]).repeat_interleave(count, 1)], dim=1)

    ids = behind(segments.ids)
    ids[:, segments.count :] = segments.padding
    valid, complete, partial = behind(segments.valid), behind(segments.complete), behind(segments.partial)
    types = None if segments.types is None else behind(segments.types)
    return replace(segments, ids=ids, valid=valid, complete=complete, partial=partial, types=types)


def _document_ends(
    input_ids: Tensor, attention_mask: Tensor, special: SpecialTokens, pending: Pending
) -> tuple[Tensor, Tensor]:
    """Mark the special tokens that a tokenizer put round a document or a piece of one: two (batch, tokens) masks.

    The same tokens inside a document are its own. So a prefix counts only where a document begins, or where the piece
    has the suffix too; a suffix only if the document began with a prefix, where the tokenizer has one.
    """
    from_start = attention_mask.cumsum(1) - 1
    from_end = attention_mask.sum(1, keepdim=True) - 1 - from_start
    leading = _matches(input_ids, from_start, attention_mask, special.prefix)
    trailing = _matches(input_ids, from_end, attention_mask & ~leading, tuple(reversed(special.suffix)))
    leading = leading & (~(pending.started | pending.opened) | trailing.any(1))[:, None]
    if special.prefix:
        trailing = trailing & (pending.opened | leading.any(1))[:, None]
    return leading, trailing


def _reopened(pending: Pending, goes_on: Tensor, special: SpecialTokens) -> Pending:
    """What is pending, with the suffix that was taken for the end of the document where it `goes_on` (batch,)."""
    if not special.suffix:
        return pending
    again = pending.closed & goes_on
    suffix = torch.tensor(special.suffix, device=again.device)
    places = pending.length[:, None] + torch.arange(len(suffix), device=again.device)
    ids = torch.cat([pending.ids, torch.zeros_like(pending.ids[:, :1]).expand(-1, len(suffix))], dim=1)
    ids = torch.where(again[:, None], ids.scatter(1, places, suffix.expand(len(ids), -1)), ids)
    length = pending.length + len(suffix) * again
    return replace(pending, ids=ids, length=length, closed=pending.closed & ~again)


def _matches(input_ids: Tensor, rank: Tensor, candidates: Tensor, expected: tuple[int, ...]) -> Tensor:
    if not expected:
        return torch.zeros_like(candidates)
    wanted = torch.tensor(expected, device=input_ids.device)[rank.clamp(0, len(expected) - 1)]
    hits = candidates & (rank < len(expected)) & (input_ids == wanted)
    return hits & (hits.sum(1, keepdim=True) == len(expected))


def _place(input_ids: Tensor, own: Tensor, rank: Tensor, pending: Pending, length: int, padding: int) -> Tensor:
    """Own tokens without gaps, pending ones first: (batch, length). What has no place goes to a spare last column."""
    batch = input_ids.shape[0]
    content = input_ids.new_full((batch, length + 1), padding)
    columns = torch.arange(pending.ids.shape[1], device=input_ids.device).expand(batch, -1)
    content.scatter_(1, torch.where(columns < pending.length[:, None], columns, length), pending.ids)
    content.scatter_(1, torch.where(own, rank, length), input_ids)
    return content[:, :length]


def _rows(
    content: Tensor, starts: Tensor, lengths: Tensor, lead: Lead, special: SpecialTokens, segment_length: int
) -> tuple[Tensor, Tensor]:
    """Surround every non-empty segment with what belongs round it: ids and validity (batch, segments, tokens)."""
    columns = torch.arange(segment_length, device=content.device)
    before = lead.length[:, None, None]
    # Every place asks for the own token that stands there; outside a segment's own tokens the answer is not used.
    rank = starts[:, :, None] + columns - before
    flat = rank.flatten(1).clamp(0, content.shape[1] - 1)
    ids = content.gather(1, flat).unflatten(1, rank.shape[1:])
    active = (lengths > 0)[:, :, None]
    end = before + lengths[:, :, None]
    width = lead.ids.shape[1]
    heading = lead.ids[:, None].expand(-1, rank.shape[1], -1)
    ids[:, :, :width] = torch.where(columns[:width] < before, heading, ids[:, :, :width])
    for index, token in enumerate(special.suffix):
        ids = torch.where(columns == end + index, token, ids)
    valid = (columns < end + len(special.suffix)) & active
    return torch.where(valid, ids, special.padding), valid


def _unfinished(
    content: Tensor, total: Tensor, capacity: Tensor, width: int, padding: int, opened: Tensor, closed: Tensor
) -> Pending:
    """Own tokens after the last full segment of every document, in `width` places."""
    start = total // capacity * capacity
    length = total - start
    columns = torch.arange(width, device=content.device)
    ids = content.gather(1, (start[:, None] + columns).clamp(max=content.shape[1] - 1))
    return Pending(torch.where(columns < length[:, None], ids, padding), length, total > 0, opened, closed)


def _row_index(
    own: Tensor,
    leading: Tensor,
    trailing: Tensor,
    rank: Tensor,
    total: Tensor,
    lead: Lead,
    capacity: Tensor,
    segment_length: int,
) -> Tensor:
    """Where every input token went: own tokens to their place, a document's special tokens to its first and last."""
    room, before = capacity[:, None], lead.length[:, None]
    index = torch.where(own, rank // room * segment_length + before + rank % room, -1)
    # A document of no own tokens has no row of its own, so its special tokens are nowhere.
    occupied = (total > 0)[:, None]
    index = torch.where(leading & occupied, leading.cumsum(1) - 1, index)
    last = (total - 1).clamp(min=0)
    after_last = last // capacity * segment_length + lead.length + last % capacity + 1
    return torch.where(trailing & occupied, after_last[:, None] + trailing.cumsum(1) - 1, index)
