"""What every memory task gives: documents as token ids, made of segments, of which the last asks a question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

# Ids that all tasks share; the first place of every segment holds a mark, where a readout may look.
PADDING, SEGMENT, QUESTION, BLANK = range(4)
FIRST_WORD = 4


class MemoryTask(ABC):
    """Documents of any number of segments whose label only a memory of the earlier ones can tell.

    The last segment asks, all others tell. Everything is drawn from the generator that is passed in, on its device:
    one seed, one stream of documents.
    """

    name: ClassVar[str]
    vocabulary_size: int
    labels: int
    segment_length: int

    @property
    def chance(self) -> float:
        """Accuracy of the best guess of a reader who sees nothing but the question."""
        return 1 / self.labels

    @property
    def most_segments(self) -> int | None:
        """Segments that a document may have, None for any number."""
        return None

    def batch(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        """Documents of one length and their labels.

        Args:
            generator: source of all that is random.
            documents: how many.
            segments: of each, the question among them.

        Returns:
            input_ids (documents, segments * segment_length) and labels (documents,), both int64.

        Raises:
            ValueError: fewer than two segments, or more than the task has room for.
        """
        most = self.most_segments
        if segments < 2 or (most is not None and segments > most):
            raise ValueError(
                f"{self.name}: documents of {segments} segments; give at least 2, the question among them"
                + (f", and at most {most}" if most is not None else "")
            )
        rows, labels = self._rows(generator, documents, segments)
        return rows.flatten(1), labels

    @abstractmethod
    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        """Ids (documents, segments, segment_length) and labels (documents,)."""


def below(generator: torch.Generator, end: int, *shape: int) -> Tensor:
    """Uniform whole numbers from 0 to `end`, excluded."""
    return torch.randint(end, shape, generator=generator, device=generator.device)
