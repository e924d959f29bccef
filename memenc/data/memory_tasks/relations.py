"""Places that lie north, south, east or west of each other."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, distinct, ordered
from memenc.data.memory_tasks.facts import PLACES
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

# Opposites stand side by side.
DIRECTIONS = ("north", "south", "east", "west")
FACT = "the {place} is {direction} of the {other} ."
TWO_STEPS = "what is {direction} of what is {second} of the {place} ?"
BESIDE = "what is {direction} of the {place} ?"
OF_WHAT = "what is the {place} {direction} of ?"


class Relations(SentenceTask):
    """Two facts about three of six places, each said from either side, in random order; the label is a place.

    The answer is never the place in the question, so that chance is one of five; who knows which places were named
    at all has one of two.
    """

    vocabulary = Vocabulary([*PLACES, *DIRECTIONS, FACT, TWO_STEPS, BESIDE, OF_WHAT])
    least_places: ClassVar[int] = 2

    def __init__(self, segment_length: int = 17, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = PLACES
        self._facts = self.vocabulary.table(FACT, place=PLACES, direction=DIRECTIONS, other=PLACES)

    @property
    def chance(self) -> float:
        """The answer is another place than that of the question."""
        return 1 / (self.labels - 1)

    def _told(
        self, generator: torch.Generator, lines: Tensor, directions: Tensor, places: int
    ) -> tuple[Tensor, Tensor]:
        """Places and sentences of the facts that lines[:, i] lies in directions[:, i] of lines[:, i + 1]."""
        documents, device = len(lines), lines.device
        turned = below(generator, 2, documents, 2)
        here, there = (torch.where(turned == side, lines[:, :2], lines[:, 1:]) for side in (0, 1))
        sentences = table_row(self._facts, here, directions ^ turned, there)
        order = distinct(generator, 2, documents, 2)
        return ordered(generator, places, documents, 2), sentences[
            torch.arange(documents, device=device)[:, None], order
        ]


@final
class Reasoning(Relations):
    """Two facts in different directions, and a question of two steps, so that no fact alone answers.

    "the kitchen is north of the garden .", "the garden is east of the office .", "what is north of what is east of the
    office ?"

    Source: Bulatov et al. 2023, Scaling Transformer to 1M tokens (arXiv:2304.11062), "reasoning", whose data file is in
    the manner of the two-argument relations of bAbI; facts, question of two steps and filler are our own.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler; the places are the labels.
    """

    name = "reasoning"
    what_to_keep = "Both sentences that are not filler, known beforehand; the question joins them."
    question_width: ClassVar[int] = 11

    def __init__(self, segment_length: int = 17, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self._questions = self.vocabulary.table(TWO_STEPS, direction=DIRECTIONS, second=DIRECTIONS, place=PLACES)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        lines = distinct(generator, len(PLACES), documents, 3)
        last = below(generator, 4, documents)
        # Two steps never lead back: the fourth choice would be the opposite of the last.
        first = ((last ^ 1) + 1 + below(generator, 3, documents)) % 4
        where, sentences = self._told(generator, lines, torch.stack([first, last], dim=1), places)
        return Told(where, sentences, table_row(self._questions, first, last, lines[:, 2]), lines[:, 0])


@final
class TwoArgumentRelations(Relations):
    """Three places in a row, "the kitchen is north of the garden .", and a question about one of the two facts.

    Source: Weston et al. 2015, Towards AI-Complete Question Answering (arXiv:1502.05698), task 4, in filler as in
    Kuratov et al. 2024, BABILong (arXiv:2406.10149).

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler; the places are the labels.
    """

    name = "babi4"
    what_to_keep = "Both sentences that are not filler, known beforehand; the question is about one of them."

    def __init__(self, segment_length: int = 17, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        tables = (self.vocabulary.table(x, direction=DIRECTIONS, place=PLACES) for x in (BESIDE, OF_WHAT))
        self._questions = torch.stack(list(tables))

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        lines = distinct(generator, len(PLACES), documents, 3)
        directions = below(generator, 4, documents, 1).expand(-1, 2)
        where, sentences = self._told(generator, lines, directions, places)
        fact, asked, form = below(generator, 2, 3, documents, 1)
        place, label = (lines.gather(1, fact + side).squeeze(1) for side in (asked, 1 - asked))
        # The direction from the place asked about to the answer, or in the second form back again.
        towards = (directions[:, :1] ^ (1 - asked) ^ form).squeeze(1)
        return Told(where, sentences, table_row(self._questions, form.squeeze(1), towards, place), label)
