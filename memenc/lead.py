"""What stands round the own tokens of a segment: special tokens, and an instruction or a question if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that surround the own tokens of every segment, and the id that fills padding.

    Args:
        prefix: before everything.
        suffix: behind the own tokens.
        padding: fills what is left.
        separator: between an instruction or a question and the own tokens.
        own_type: token type of what stands behind a separator; 0 where the backbone knows no second type.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    padding: int = 0
    separator: tuple[int, ...] = ()
    own_type: int = 0

    @property
    def per_segment(self) -> int:
        """Number of special tokens in one segment."""
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class Question:
    """A question or instruction per document, to stand before the own tokens of each of its segments.

    Args:
        ids: (batch, tokens) own tokens of the questions.
        mask: (batch, tokens) bool, False at padding, which may stand anywhere.
    """

    ids: Tensor
    mask: Tensor

    @classmethod
    def of(cls, ids: Tensor, mask: Tensor | None = None) -> Question:
        """Questions of token ids (batch, tokens), all of them valid without a mask.

        Raises:
            ValueError: ids and mask that do not fit each other.
        """
        if ids.dim() != 2 or ids.is_floating_point():
            raise ValueError(
                f"question_ids must be whole numbers of shape (batch, tokens), received {ids.dtype} {tuple(ids.shape)}"
            )
        if mask is not None and mask.shape != ids.shape:
            raise ValueError(f"question_mask {tuple(mask.shape)} does not fit question_ids {tuple(ids.shape)}")
        return cls(ids.long(), torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool())

    @classmethod
    def same_for_all(cls, ids: Sequence[int], batch: int, device: torch.device) -> Question:
        """One instruction (tokens) for every document."""
        return cls.of(torch.tensor(ids, device=device, dtype=torch.long).expand(batch, -1))

    def followed_by(self, other: Question) -> Question:
        """Both without anything between them.

        Raises:
            ValueError: another number of instructions than questions.
        """
        if len(self.ids) != len(other.ids):
            raise ValueError(f"{len(self.ids)} instructions for {len(other.ids)} questions; give one for each")
        return Question(torch.cat([self.ids, other.ids], dim=1), torch.cat([self.mask, other.mask], dim=1))


@dataclass(frozen=True)
class Lead:
    """What stands before the own tokens of every segment: ids (batch, tokens) on the left, and how many (batch,)."""

    ids: Tensor
    length: Tensor


def lead_of(batch: int, special: SpecialTokens, question: Question | None, like: Tensor) -> Lead:
    """The lead of every document's segments, on the device of `like`.

    Raises:
        ValueError: another number of questions than documents.
    """
    prefix = torch.tensor(special.prefix, dtype=torch.long, device=like.device).expand(batch, -1)
    if question is None:
        return Lead(prefix, prefix.new_full((batch,), len(special.prefix)))
    if len(question.ids) != batch:
        raise ValueError(f"{len(question.ids)} questions for {batch} documents; give one for each")
    separator = torch.tensor(special.separator, dtype=torch.long, device=like.device)
    asked = question.mask.sum(1)
    length = len(special.prefix) + asked + len(separator)
    width = question.ids.shape[1]
    # Question tokens without gaps, on the left: what is padding goes to a spare last column.
    places = torch.where(question.mask, question.mask.cumsum(1) - 1, width)
    packed = question.ids.new_full((batch, width + len(separator) + 1), special.padding)
    packed.scatter_(1, places, question.ids)
    packed[:, width:] = special.padding
    if len(separator):
        behind = asked[:, None] + torch.arange(len(separator), device=like.device)
        packed.scatter_(1, behind, separator.expand(batch, -1))
    return Lead(torch.cat([prefix, packed[:, : int(asked.max()) + len(separator)]], dim=1), length)


def check_room(capacities: tuple[int, ...], special: SpecialTokens, segment_length: int) -> None:
    """Refuse a question that leaves no room for the document; `capacities` are own tokens of each one's segments."""
    least = min(capacities)
    if least < 1:
        free = segment_length - special.per_segment - len(special.separator)
        raise ValueError(
            f"question {capacities.index(least)} of the batch has {free - least} tokens, but a segment of "
            f"{segment_length} has room for {free - 1} beside its special tokens and one of the document's; shorten it "
            "or its instruction, which counts too, or choose longer segments"
        )


def token_types(ids: Tensor, lead: Lead, special: SpecialTokens) -> Tensor | None:
    """Token types (batch, segments, tokens): 0 up to the separator, the second type behind it."""
    if not special.own_type:
        return None
    behind = torch.arange(ids.shape[2], device=ids.device) >= lead.length[:, None, None]
    return (behind * special.own_type).expand_as(ids)
