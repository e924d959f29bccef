"""Cut documents into segments and find every token again. Nothing else in memenc knows about special tokens.

A *segment* is one row of the backbone: ``prefix + own tokens + suffix``, where prefix and suffix are the special tokens
the backbone was pre-trained with (``[CLS] ... [SEP]``). Every segment of a document is full except, perhaps, its last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that surround the own tokens of every segment, and the id that fills padding."""

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    padding: int = 0

    @property
    def per_segment(self) -> int:
        """Number of special tokens in one segment."""
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class Pending:
    """What a call leaves to the next, per document.

    Args:
        ids: (batch, capacity) own tokens of the segment that is not full yet.
        length: (batch,) how many they are.
        started: (batch,) own tokens were read before.
        opened: (batch,) the document began with the special tokens a tokenizer puts first, so that it will end with
            those it puts last.
    """

    ids: Tensor
    length: Tensor
    started: Tensor
    opened: Tensor


@dataclass(frozen=True)
class Segments:
    """A batch of documents cut into rows.

    Shapes: ids, valid (batch, segments, tokens); complete, partial (batch, segments); own_tokens (batch,), tokens of
    the input that belong to the document; row_index (batch, input tokens), place of every input token in the
    flattened rows, -1 for padding. `totals` repeats the documents' lengths (own tokens, pending ones included) on the
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
    capacity: int
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
) -> Segments:
    """Lay the own tokens of every document out in segments, after those still pending from the call before.

    Args:
        input_ids: (batch, tokens) documents; special tokens at their ends are recognised and not doubled.
        attention_mask: (batch, tokens), 0 for padding, which may stand anywhere.
        special: what surrounds the own tokens of every segment.
        segment_length: tokens of a segment, special tokens included.
        pending: own tokens that were read before but did not fill a segment.
    """
    capacity = segment_length - special.per_segment
    leading, trailing = _document_ends(input_ids, attention_mask, special, pending)
    opened = pending.opened | leading.any(1)
    own = attention_mask & ~leading & ~trailing
    own_tokens = own.sum(1)
    total = pending.length + own_tokens
    totals = tuple(total.tolist())
    count = max(1, -(-max(totals, default=0) // capacity))
    rank = own.cumsum(1) - 1 + pending.length[:, None]
    content = _place(input_ids, own, rank, pending, count * capacity, special.padding)

    starts = torch.arange(count, device=input_ids.device) * capacity
    lengths = (total[:, None] - starts).clamp(0, capacity)
    ids, valid = _rows(content.unflatten(1, (count, capacity)), lengths, special, segment_length)
    complete = lengths == capacity
    return Segments(
        ids=ids,
        valid=valid,
        complete=complete,
        partial=(lengths > 0) & ~complete,
        own_tokens=own_tokens,
        pending=_unfinished(content, total, capacity, special.padding, opened),
        row_index=_row_index(own, leading, trailing, rank, total, special, segment_length),
        totals=totals,
        capacity=capacity,
    )


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
    wrapped = trailing.any(1) | (not special.suffix)
    leading = leading & (~pending.started | wrapped)[:, None]
    if special.prefix:
        trailing = trailing & (pending.opened | leading.any(1))[:, None]
    return leading, trailing


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


def _rows(content: Tensor, lengths: Tensor, special: SpecialTokens, segment_length: int) -> tuple[Tensor, Tensor]:
    """Surround every non-empty segment with its special tokens: ids and validity (batch, segments, tokens)."""
    batch, count, capacity = content.shape
    start = len(special.prefix)
    ids = content.new_full((batch, count, segment_length), special.padding)
    ids[:, :, start : start + capacity] = content
    active = (lengths > 0)[:, :, None]
    for index, token in enumerate(special.prefix):
        ids[:, :, index : index + 1] = torch.where(active, token, special.padding)
    for index, token in enumerate(special.suffix):
        place = (start + lengths + index)[:, :, None]
        ids.scatter_(2, place, torch.where(active, token, ids.gather(2, place)))
    columns = torch.arange(segment_length, device=content.device)
    valid = (columns < (lengths + special.per_segment)[:, :, None]) & active
    return torch.where(valid, ids, special.padding), valid


def _unfinished(content: Tensor, total: Tensor, capacity: int, padding: int, opened: Tensor) -> Pending:
    """Own tokens after the last full segment of every document."""
    start = total // capacity * capacity
    length = total - start
    columns = torch.arange(capacity, device=content.device)
    ids = content.gather(1, (start[:, None] + columns).clamp(max=content.shape[1] - 1))
    return Pending(torch.where(columns < length[:, None], ids, padding), length, total > 0, opened)


def _row_index(
    own: Tensor,
    leading: Tensor,
    trailing: Tensor,
    rank: Tensor,
    total: Tensor,
    special: SpecialTokens,
    segment_length: int,
) -> Tensor:
    """Where every input token went: own tokens to their place, a document's special tokens to its first and last."""
    capacity = segment_length - special.per_segment
    index = rank // capacity * segment_length + len(special.prefix) + rank % capacity
    index = torch.where(own, index, -1)
    # A document of no own tokens has no row of its own, so its special tokens are nowhere.
    occupied = (total > 0)[:, None]
    index = torch.where(leading & occupied, leading.cumsum(1) - 1, index)
    last = (total - 1).clamp(min=0)
    after_last = last // capacity * segment_length + len(special.prefix) + last % capacity + 1
    return torch.where(trailing & occupied, after_last[:, None] + trailing.cumsum(1) - 1, index)
