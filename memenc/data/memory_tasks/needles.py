"""Keys in filler: the question asks for one of their numbers, or for the document that has a key."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import torch

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, distinct
from memenc.data.memory_tasks.sentences import SentenceTask, Told, further, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

NUMBERS = tuple(map(str, range(10)))
ORDINALS = ("first", "second", "third", "fourth")
PASS_KEY = "the pass key is 0 0 0 0 ."
WHICH_OF_KEY = "what is the {ordinal} number of the pass key ?"
KEYS = {
    "train": ("amber", "cobalt", "ivory", "scarlet", "olive", "silver"),
    "test": ("bronze", "indigo", "maroon", "teal", "violet", "lemon"),
}
KEY = "the {key} key is 0 0 0 ."
WHICH_OF_KEYS = "what is the {ordinal} number of the {key} key ?"


class PassKey(SentenceTask):
    """One key of four numbers at a random place; the label is one of them.

    Source: Mohtashami and Jaggi 2023, Landmark Attention (arXiv:2305.16300), with filler of our own.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler.
    """

    name = "passkey"
    what_to_keep = "The one sentence that is not filler, number by number, known beforehand."
    vocabulary = Vocabulary([*NUMBERS, *ORDINALS, PASS_KEY, WHICH_OF_KEY])
    width: ClassVar[int] = 9
    least_places: ClassVar[int] = 1
    question_width: ClassVar[int] = 10

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = NUMBERS
        self._key = self.vocabulary.table(PASS_KEY)
        self._questions = self.vocabulary.table(WHICH_OF_KEY, ordinal=ORDINALS)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        numbers = below(generator, len(NUMBERS), documents, 1, 4)
        asked = below(generator, len(ORDINALS), documents)
        return Told(
            places=below(generator, places, documents, 1),
            sentences=further(self._key, 4, numbers),
            questions=table_row(self._questions, asked),
            labels=numbers[:, 0].gather(1, asked[:, None]).squeeze(1),
        )


class MultiKey(SentenceTask):
    """Up to four named keys of three numbers at random places; the question names one.

    Source: Hsieh et al. 2024, RULER (arXiv:2404.06654), "multi-key", with filler of our own.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other names of keys and other filler.
    """

    name = "multikey"
    what_to_keep = "All keys, number by number: the question asks for any of them."
    vocabulary = Vocabulary([*NUMBERS, *ORDINALS, *KEYS["train"], KEY, WHICH_OF_KEYS], KEYS["test"])
    question_width: ClassVar[int] = 10

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = NUMBERS
        self._keys = self.vocabulary.table(KEY, key=KEYS[split])
        self._questions = self.vocabulary.table(WHICH_OF_KEYS, key=KEYS[split], ordinal=ORDINALS[:3])

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        count = min(4, places)
        keys = distinct(generator, len(self._keys), documents, count)
        numbers = below(generator, len(NUMBERS), documents, count, 3)
        ordinal = below(generator, 3, documents)
        # Places are in random order, so that the first key is any.
        return Told(
            places=distinct(generator, places, documents, count),
            sentences=further(table_row(self._keys, keys), 4, numbers),
            questions=table_row(self._questions, keys[:, 0], ordinal),
            labels=numbers[:, 0].gather(1, ordinal[:, None]).squeeze(1),
        )


class AsksForDocument(SentenceTask):
    """Which of 32 documents has this key? The pooled vector of each must tell, without knowing what is asked.

    Stands before a task with keys among the bases of a class. Source: Zhu et al. 2024, LongEmbed (arXiv:2404.12096),
    "passkey", with keys in the place of names.
    """

    candidates = 32

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = tuple(f"document {number}" for number in range(self.candidates))

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        told = super()._tell(generator, documents, places)
        labels = torch.arange(documents, device=told.labels.device) % self.candidates
        return replace(told, questions=told.sentences[:, 0], labels=labels)


@final
class PassKeyEmbedding(AsksForDocument, PassKey):
    """The document with this pass key, see `AsksForDocument` and `PassKey`."""

    name = "passkey_embedding"
    what_to_keep = "The one sentence that is not filler, number by number, in the vector of the document."


@final
class MultiKeyEmbedding(AsksForDocument, MultiKey):
    """The document with this key among its four, see `AsksForDocument` and `MultiKey`; one in fifty has a twin."""

    name = "multikey_embedding"
    what_to_keep = "All keys, number by number, in the vector of the document."


EMBEDDING_TASKS: dict[str, type[SentenceTask]] = {kind.name: kind for kind in (PassKeyEmbedding, MultiKeyEmbedding)}
