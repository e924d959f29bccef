"""What every memory task gives: documents as token ids, made of segments, of which the last asks a question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memenc.data.memory_tasks.vocabulary import FIRST_WORD

Split = Literal["train", "test"]

# Ids that all tasks share; the first place of every segment holds a mark, where a readout may look.
PADDING, SEGMENT, QUESTION, BLANK = range(FIRST_WORD)


class MemoryTask(ABC):
    """Documents of any number of segments whose label only a memory of the earlier ones can tell.

    The last segment asks, all others tell. Everything is drawn from the generator that is passed in, on its device:
    one seed, one stream of documents. Labels are balanced.

    A task with two `splits` has names, terms and filler of its own in each. An encoder trained from scratch has no
    vectors for words it never saw: test it on the split it was trained on, where documents are new all the same. The
    split "test" is for encoders that know the words.

    Attributes:
        name: in the table of tasks.
        what_to_keep: in one sentence, what has to be remembered, and whether that is known before the question.
        splits: the ones that the constructor takes as `split`.
        words: the word of every id, "" for marks.
        classes: the name of every label.
        segment_length: ids of every segment, its mark included.
        parts: the tasks that this one joins, if it is no task by itself.
        candidates: documents, one after the other in a batch, of which the last segment of each asks for its own, so
            that the label is a place among them; 0 where the label is a class.
    """

    name: ClassVar[str]
    what_to_keep: ClassVar[str]
    splits: ClassVar[tuple[Split, ...]] = ("train", "test")
    words: tuple[str, ...]
    classes: tuple[str, ...]
    segment_length: int
    parts: tuple[MemoryTask, ...] = ()
    candidates: ClassVar[int] = 0

    @property
    def vocabulary_size(self) -> int:
        """Ids there are, marks included."""
        return len(self.words)

    @property
    def labels(self) -> int:
        """Classes there are."""
        return len(self.classes)

    @property
    def chance(self) -> float:
        """Accuracy of the best guess of a reader who sees nothing but the question."""
        return 1 / self.labels

    @property
    def least_segments(self) -> int:
        """Segments that a document must have: one that asks, and as many as hold the least there is to tell."""
        return 2

    @property
    def most_segments(self) -> int | None:
        """Segments that a document may have, None for any number."""
        return None

    def for_testing(self) -> MemoryTask:
        """The task to test on: this one, unless it holds back documents of another kind."""
        return self

    def part_of(self, documents: int) -> Tensor:
        """Which of its parts every document of a batch is of, (documents,)."""
        return torch.arange(documents) % max(1, len(self.parts))

    def text(self, input_ids: Tensor) -> str:
        """A document for people and tokenizers, one line a segment.

        Args:
            input_ids: of one document, (tokens,).
        """
        segments = input_ids.view(-1, self.segment_length).tolist()
        lines = (" ".join(filter(None, (self.words[number] for number in segment))) for segment in segments)
        return "\n".join(lines).replace(" .", ".").replace(" ?", "?")

    def batch(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        """Documents of one length and their labels.

        Args:
            generator: source of all that is random.
            documents: how many.
            segments: of each, the question among them.

        Returns:
            input_ids (documents, segments * segment_length) and labels (documents,), both int64.

        Raises:
            ValueError: fewer segments than the task needs, or more than it has room for.
        """
        least, most = self.least_segments, self.most_segments
        if segments < least or (most is not None and segments > most):
            raise ValueError(
                f"{self.name}: documents of {segments} segments; give at least {least}, the question among them"
                + (f", and at most {most}" if most is not None else "")
            )
        rows, labels = self._rows(generator, documents, segments)
        return rows.flatten(1), labels

    @abstractmethod
    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        """Ids (documents, segments, segment_length) and labels (documents,)."""
