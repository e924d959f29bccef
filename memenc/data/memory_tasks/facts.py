"""Facts in filler: someone went somewhere, a long time passes, and the question is where."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

PLACES = ("bathroom", "hallway", "garden", "office", "bedroom", "kitchen")
NAMES = {"train": ("mary", "john", "daniel", "sandra"), "test": ("peter", "laura", "simon", "alice")}
MOVES = ("moved", "went", "went back", "journeyed", "travelled")
MOVE = "{name} {verb} to the {place} ."
WHERE = "where is {name} ?"


class Facts(SentenceTask):
    """One fact at the start of a segment of filler, "mary went to the garden ."; at the end "where is mary ?".

    The label is the place.

    Source: Bulatov et al. 2023, Scaling Transformer to 1M tokens (arXiv:2304.11062), with filler of our own.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other names and filler.
    """

    vocabulary = Vocabulary([*PLACES, *NAMES["train"], *MOVES, MOVE, WHERE], NAMES["test"])
    width: ClassVar[int] = 7
    least_places: ClassVar[int] = 1
    question_width: ClassVar[int] = 4

    def __init__(self, segment_length: int = 16, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = PLACES
        self._facts = self.vocabulary.table(MOVE, name=NAMES[split], verb=MOVES, place=PLACES)
        self._questions = self.vocabulary.table(WHERE, name=NAMES[split])

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        names, verbs, labels = (below(generator, end, documents) for end in self._facts.shape[:3])
        segments = self._segment(generator, documents, places // self.places)
        return Told(
            places=segments[:, None] * self.places,
            sentences=table_row(self._facts, names, verbs, labels)[:, None],
            questions=table_row(self._questions, names),
            labels=labels,
        )

    @abstractmethod
    def _segment(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        """Segment of the fact in every document, (documents,)."""


@final
class Memorize(Facts):
    """The fact stands at the very start."""

    name = "memorize"
    what_to_keep = "The first sentence, known beforehand."

    def _segment(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        return torch.zeros(documents, dtype=torch.long, device=generator.device)


@final
class Detect(Facts):
    """The fact stands at the start of a random segment, and must be told from filler too."""

    name = "detect"
    what_to_keep = "The one sentence that is not filler, known beforehand."

    def _segment(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        return below(generator, segments, documents)
