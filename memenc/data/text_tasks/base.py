"""What every text task gives: long documents as text, with the label that a pre-trained encoder is to find."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from memenc.data.memory_tasks.base import Split

SPLITS: tuple[Split, ...] = ("train", "test")


class TextTask(ABC):
    """Documents of any number of words, balanced over the classes, other ones in each split.

    Attributes:
        name: in tables.
        what_to_keep: in one sentence, what has to be remembered, and whether that is known before the question.
        classes: every label.
        chance: accuracy of the best guess of a reader who sees nothing but the question.
    """

    name: str
    what_to_keep: str
    classes: tuple[str, ...]
    chance: float

    def documents(self, seed: int, count: int, words: int, split: Split = "train") -> tuple[list[str], list[str]]:
        """Texts and their labels; the same arguments give the same ones.

        Args:
            seed: not negative.
            count: how many, at least 1.
            words: in every text, as nearly as the task can.
            split: "train" or "test", with no document and as few words as possible in common.

        Raises:
            ValueError: a number outside its range, no such split, or documents that the task cannot make so long or
                so short.
        """
        for name, value, least in (("seed", seed, 0), ("count", count, 1), ("words", words, 1)):
            if value < least:
                raise ValueError(f"{name}={value}: give at least {least}")
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: choose {' or '.join(SPLITS)}")
        return self._documents(seed, count, words, split)

    @abstractmethod
    def _documents(self, seed: int, count: int, words: int, split: Split) -> tuple[list[str], list[str]]:
        """Texts and labels."""


@dataclass(frozen=True)
class Asked:
    """Documents of a text task, each with its question apart.

    Args:
        texts: what is told, each with exactly as many words as asked for.
        questions: one for each.
        labels: one for each.
    """

    texts: list[str]
    questions: list[str]
    labels: list[str]


class AskedTextTask(TextTask):
    """A text task that can give its documents and their questions apart, in an exact number of words.

    Attributes:
        longest_question: words of it.
        least_words: beside the question, with which every answer can be told in both splits.
    """

    longest_question: int
    least_words: int

    @abstractmethod
    def asked(self, seed: int, count: int, words: int, split: Split) -> Asked:
        """Documents with exactly so many words beside the question.

        Raises:
            ValueError: documents that the task cannot make so long or so short.
        """
