"""The exact wording of one line among others, of the last page or of the first ones."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below
from memenc.data.memory_tasks.needles import NUMBERS, ORDINALS
from memenc.data.memory_tasks.sentences import SentenceTask, Told, further, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

NOTED = (
    *("anchor", "button", "candle", "dagger", "emerald", "feather", "goblet", "helmet"),
    *("ink", "jacket", "kettle", "ladder", "mirror", "needle", "orchid", "pepper"),
)
NOTE = "the note says anchor anchor anchor ."
WHICH_OF_NOTE = "which word was {ordinal} in the last note ?"
ERROR = "error code 0 0 0 appeared ."
PASSED = "step code 0 0 0 passed ."
WHICH_OF_ERROR = "which number was {ordinal} in the error code ?"


class Wording(SentenceTask):
    """A line of three words in about every other segment; the label is one word of one of the lines.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler; the words are the labels.
    """

    line: ClassVar[str]
    asked_line: ClassVar[str]
    question: ClassVar[str]
    answers: ClassVar[tuple[str, ...]]
    # Ids of a line before its three words.
    start: ClassVar[int]
    least_places: ClassVar[int] = 1
    question_width: ClassVar[int] = 9

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = self.answers
        self._line, self._asked_line = self.vocabulary.table(self.line), self.vocabulary.table(self.asked_line)
        self._questions = self.vocabulary.table(self.question, ordinal=ORDINALS[:3])

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        pages = places // self.places
        page = torch.arange(pages, device=generator.device)
        asked = self._page(generator, documents, pages)
        ordinal = below(generator, 3, documents)
        words = below(generator, len(self.answers), documents, pages, 3)
        others = further(self._line, self.start, words) * below(generator, 2, documents, pages, 1)
        here = (page == asked[:, None])[..., None]
        words = words[torch.arange(documents, device=page.device), asked]
        return Told(
            places=page * self.places + below(generator, self.places, documents, pages),
            sentences=torch.where(here, further(self._asked_line, self.start, words[:, None]), others),
            questions=table_row(self._questions, ordinal),
            labels=words.gather(1, ordinal[:, None]).squeeze(1),
        )

    @abstractmethod
    def _page(self, generator: torch.Generator, documents: int, pages: int) -> Tensor:
        """Segment of the line asked about in every document, (documents,)."""


@final
class RecentExact(Wording):
    """The exact wording of a note on the last page before the question; earlier notes are of no use."""

    name = "recent_exact"
    what_to_keep = "The latest note word by word, known beforehand."
    vocabulary = Vocabulary([*NOTED, *ORDINALS, NOTE, WHICH_OF_NOTE])
    line = asked_line = NOTE
    question = WHICH_OF_NOTE
    answers = NOTED
    start = 3

    def _page(self, generator: torch.Generator, documents: int, pages: int) -> Tensor:
        return torch.full((documents,), pages - 1, device=generator.device)


@final
class EarlyExact(Wording):
    """The numbers of an error code in the first quarter of the pages; step codes are all over the document."""

    name = "early_exact"
    what_to_keep = "The one error code number by number, known beforehand."
    vocabulary = Vocabulary([*NUMBERS, *ORDINALS, ERROR, PASSED, WHICH_OF_ERROR])
    line, asked_line = PASSED, ERROR
    question = WHICH_OF_ERROR
    answers = NUMBERS
    start = 2

    def _page(self, generator: torch.Generator, documents: int, pages: int) -> Tensor:
        return below(generator, max(1, pages // 4), documents)
