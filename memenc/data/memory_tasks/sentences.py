"""The frame of tasks that are told in sentences: every segment has places for them, filler is all around."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import QUESTION, SEGMENT, MemoryTask, Split
from memenc.data.memory_tasks.filler import drawn_filler
from memenc.data.memory_tasks.vocabulary import LONGEST, Vocabulary


@dataclass(frozen=True)
class Told:
    """What documents say beside filler.

    Args:
        places: where every sentence stands, none twice in a document, (documents, sentences).
        sentences: ids, 0 behind a short one or all through where none is told, (documents, sentences, ids).
        questions: ids, 0 behind a short one, (documents, ids).
        labels: answers, (documents,).
    """

    places: Tensor
    sentences: Tensor
    questions: Tensor
    labels: Tensor


class SentenceTask(MemoryTask):
    """Sentences that start at fixed places in segments of filler; the last segment ends with a question.

    Filler words are disjoint from those of sentences and as frequent as words are (Zipf).

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other names, terms and filler.

    Raises:
        ValueError: a segment too short for a place or for the question, or a split that there is not.
    """

    vocabulary: ClassVar[Vocabulary]
    # Ids of a place, and places that a document needs at least: of short segments it has more.
    width: ClassVar[int] = LONGEST
    least_places: ClassVar[int] = 3
    # Ids of the longest question.
    question_width: ClassVar[int] = LONGEST

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        shortest = 1 + max(self.width, self.question_width)
        if segment_length < shortest:
            raise ValueError(f"segment_length={segment_length}: {self.name} needs at least {shortest}")
        if split not in self.splits:
            raise ValueError(f"split={split!r}: {self.name} has {' and '.join(self.splits)}")
        self.split: Split = split
        self.words = self.vocabulary.words
        self.segment_length = segment_length
        self.places = (segment_length - 1) // self.width
        self._filler = self.vocabulary.filler(split)

    @property
    def least_segments(self) -> int:
        """The question, and as many as have the places that are needed."""
        return 1 + -(-self.least_places // self.places)

    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        rows = drawn_filler(generator, self._filler, documents, segments, self.segment_length)
        rows[:, :, 0] = SEGMENT
        rows[:, -1, 0] = QUESTION
        told = self._tell(generator, documents, (segments - 1) * self.places)
        self._write(rows, told)
        questions = _moved_to_the_end(told.questions)
        ends = rows[:, -1, -questions.shape[1] :]
        rows[:, -1, -questions.shape[1] :] = torch.where(questions > 0, questions, ends)
        return rows, told.labels

    def _write(self, rows: Tensor, told: Told) -> None:
        """Put sentences to their places; filler goes on behind short ones."""
        documents = torch.arange(len(rows), device=rows.device)[:, None, None]
        segment, place = told.places // self.places, told.places % self.places
        ids = 1 + place[..., None] * self.width + torch.arange(self.width, device=rows.device)
        here = documents, segment[..., None], ids
        sentences = told.sentences[..., : self.width]
        rows[here] = torch.where(sentences > 0, sentences, rows[here])

    @abstractmethod
    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        """What documents with so many places say."""


def table_row(table: Tensor, *numbers: Tensor) -> Tensor:
    """Sentences of a table (*fields, ids) by the numbers of their words (documents, ...), on the numbers' device."""
    return table.to(numbers[0].device)[numbers]


def further(sentences: Tensor, start: int, steps: Tensor) -> Tensor:
    """Sentences in which some words are replaced by those that stand so many steps further in the vocabulary.

    Args:
        sentences: (..., ids), to be repeated as often as there are steps.
        start: the first word to replace.
        steps: one for each word to replace, (..., words).
    """
    sentences = sentences.to(steps.device).expand(*steps.shape[:-1], -1).clone()
    sentences[..., start : start + steps.shape[-1]] += steps
    return sentences


def _moved_to_the_end(questions: Tensor) -> Tensor:
    """Ids with 0 before short ones instead of behind them."""
    width = questions.shape[1]
    short = (questions == 0).sum(1, keepdim=True)
    return questions.gather(1, (torch.arange(width, device=questions.device) - short) % width)
