"""What changes while the document goes on: values that are set anew, and how often something happened."""

from __future__ import annotations

from typing import ClassVar, final

import torch

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, below_each, distinct, ordered
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

SUBJECTS = {"train": ("door", "roof", "wagon", "fridge"), "test": ("gate", "shed", "banner", "bucket")}
COLOURS = ("white", "black", "red", "green", "blue", "yellow", "brown", "pink")
STATEMENT = "the {subject} is now {colour} ."
WHICH = "which colour is the {subject} ?"
RINGING = {"train": ("phone", "alarm", "siren"), "test": ("gong", "doorbell", "timer")}
RANG = "the {thing} rang ."
HOW_OFTEN = "how often did the bell ring ?"
MOST = 5


@final
class Update(SentenceTask):
    """Up to twelve statements of colours; the subject asked about is stated twice, others between; the later holds.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other subjects and filler; colours are the labels.
    """

    name = "update"
    what_to_keep = "The latest colour of every subject: the question asks for any of them."
    vocabulary = Vocabulary([*COLOURS, *SUBJECTS["train"], STATEMENT, WHICH], SUBJECTS["test"])

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = COLOURS
        self._statements = self.vocabulary.table(STATEMENT, subject=SUBJECTS[split], colour=COLOURS)
        self._questions = self.vocabulary.table(WHICH, subject=SUBJECTS[split])

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        count = min(12, places)
        late = 2 + below(generator, count - 2, documents, 1)
        early = below_each(generator, late - 1)
        asked, subjects = below(generator, 4, documents, 1), below(generator, 3, documents, count)
        label, colours = below(generator, 8, documents, 1), below(generator, 8, documents, count)
        old = (label + 1 + below(generator, 7, documents, 1)) % 8
        both = torch.cat([early, late], dim=1)
        subjects = ((asked + 1 + subjects) % 4).scatter(1, both, asked.expand(-1, 2))
        colours = colours.scatter(1, both, torch.cat([old, label], dim=1))
        return Told(
            places=ordered(generator, places, documents, count),
            sentences=table_row(self._statements, subjects, colours),
            questions=table_row(self._questions, asked.squeeze(1)),
            labels=label.squeeze(1),
        )


@final
class Count(SentenceTask):
    """A bell rings up to five times, other things ring too; the label is how often the bell did.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other things and filler.
    """

    name = "count"
    what_to_keep = "How often the bell rang so far, known beforehand."
    vocabulary = Vocabulary(["bell", *RINGING["train"], RANG, HOW_OFTEN], RINGING["test"])
    width: ClassVar[int] = 4
    least_places: ClassVar[int] = MOST

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = tuple(map(str, range(MOST + 1)))
        self._sentences = self.vocabulary.table(RANG, thing=("bell", *RINGING[split]))
        self._question = self.vocabulary.table(HOW_OFTEN)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        most = min(2 * MOST, places)
        number = torch.arange(most, device=generator.device)
        bells, others = (below(generator, end + 1, documents, 1) for end in (MOST, most - MOST))
        rings = torch.where(number < MOST, number < bells, number - MOST < others)
        things = torch.where(number < MOST, 0, 1 + below(generator, 3, documents, most))
        # Places are in random order, so that numbers do not tell when.
        return Told(
            places=distinct(generator, places, documents, most),
            sentences=table_row(self._sentences, things) * rings[..., None],
            questions=self._question.to(number.device).expand(documents, -1),
            labels=bells.squeeze(1),
        )
