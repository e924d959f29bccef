"""Text tasks as token ids in segments, an id a word, so that memory designs can be compared on them."""

from __future__ import annotations

import copy
import gzip
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from string import punctuation
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from memenc.data.decisive_sentence import WORDS_PER_CHUNK, Variant
from memenc.data.memory_tasks.base import BLANK, QUESTION, SEGMENT, MemoryTask, Split
from memenc.data.memory_tasks.vocabulary import FIRST_WORD
from memenc.data.text_tasks.babi_files import BabiFiles
from memenc.data.text_tasks.base import SPLITS, AskedTextTask
from memenc.data.text_tasks.generated import DecisiveSentence

# The id of all words that are rarer than those that are known, and what a pre-trained encoder takes it for.
UNKNOWN, UNKNOWN_WORD = FIRST_WORD, "something"
KNOWN = 8_000
# Documents of each split that a vocabulary is made from.
SAMPLE, SAMPLE_SEGMENTS = 256, 8


class InSegments(MemoryTask):
    """A text task as ids: its words without capitals and punctuation marks, as many to a segment as it has room for.

    Training documents are those of the text task's split "train"; `for_testing` gives those of "test". The question
    stands at the end of the last segment, behind blanks.

    Args:
        segment_length: ids of a segment, its mark included.

    Raises:
        ValueError: a segment too short for the question.
    """

    splits: ClassVar[tuple[Split, ...]] = ("train",)

    def __init__(self, texts: AskedTextTask, segment_length: int) -> None:
        if segment_length <= texts.longest_question:
            least = texts.longest_question + 1
            raise ValueError(f"segment_length={segment_length}: the longest question of {texts.name} needs {least}")
        self.texts, self.segment_length = texts, segment_length
        self.split: Split = "train"
        self.classes = texts.classes
        self.words = vocabulary_of(texts, (segment_length - 1) * SAMPLE_SEGMENTS)
        self._numbers = {word: number for number, word in enumerate(self.words) if number > UNKNOWN}
        self._labels = {name: number for number, name in enumerate(texts.classes)}

    @property
    def chance(self) -> float:
        """Of the text task."""
        return self.texts.chance

    @property
    def least_segments(self) -> int:
        """The question, and as many as hold a story of every answer."""
        return 1 + -(-self.texts.least_words // (self.segment_length - 1))

    def for_testing(self) -> Self:
        """The same words, and documents of the split "test"."""
        other = copy.copy(self)
        other.split = "test"
        return other

    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        room = self.segment_length - 1
        made = self.texts.asked(seed, documents, (segments - 1) * room, self.split)
        told = torch.tensor([self._ids(text) for text in made.texts]).view(documents, segments - 1, room)
        questions = [self._ids(question) for question in made.questions]
        asked = torch.tensor([[BLANK] * (room - len(ids)) + ids for ids in questions])[:, None]
        marks = torch.full((documents, segments, 1), SEGMENT)
        marks[:, -1] = QUESTION
        rows = torch.cat([marks, torch.cat([told, asked], dim=1)], dim=2)
        labels = torch.tensor([self._labels[label] for label in made.labels])
        return rows.to(generator.device), labels.to(generator.device)

    def _ids(self, text: str) -> list[int]:
        return [self._numbers.get(word, UNKNOWN) for word in plain_words(text)]


@final
class Decisive(InSegments):
    """One sentence in docstring prose says what became of an application; one chunk of prose a segment.

    Args:
        segment_length: ids of a segment, its mark included; at least 31.
        variant: "fixed" phrases, or a "paraphrase" with other phrases in testing, for encoders that know the words.
    """

    name = "decisive_sentence"
    what_to_keep = DecisiveSentence.what_to_keep

    def __init__(self, segment_length: int = 1 + WORDS_PER_CHUNK, variant: Variant = "fixed") -> None:
        super().__init__(decisive_texts(variant, segment_length - 1), segment_length)


@final
class StoriesFromFiles(InSegments):
    """Stories out of bAbI's own files between sentences of books.

    A comparison knows files by the names of their folders: with other files in them, give another output.

    Args:
        files: folder with `qa1_..._train.txt` and `qa1_..._test.txt` (or `_validation`), gzipped or not.
        books: folder with texts of prose, `*.txt` or `*.txt.gz`.
        task: number of bAbI's task.
        segment_length: ids of a segment, its mark included.

    Raises:
        ValueError: no such folder, or not the files of this task in it.
    """

    name = "babi_files"
    what_to_keep = BabiFiles.what_to_keep

    def __init__(self, files: str, books: str, task: int = 1, segment_length: int = 65) -> None:
        super().__init__(stories_of(files, books, task), segment_length)


@cache
def vocabulary_of(texts: AskedTextTask, words: int) -> tuple[str, ...]:
    """Marks, the unknown word, and the most frequent words of some documents of both splits and their questions."""
    counts = Counter[str]()
    for split in SPLITS:
        made = texts.asked(0, SAMPLE, words, split)
        for text in (*made.texts, *made.questions):
            counts.update(plain_words(text))
    del counts[UNKNOWN_WORD]
    return (*[""] * FIRST_WORD, UNKNOWN_WORD, *(word for word, _ in counts.most_common(KNOWN)))


def plain_words(text: str) -> list[str]:
    """One word for everything between spaces, without capitals and punctuation marks; those alone remain."""
    return [word.strip(punctuation).lower() or word for word in text.split()]


@cache
def decisive_texts(variant: Variant, words_per_chunk: int) -> DecisiveSentence:
    """One task for all comparisons, so that its vocabulary is made once."""
    return DecisiveSentence(variant, words_per_chunk)


@cache
def stories_of(files: str, books: str, task: int) -> BabiFiles:
    """The task of bAbI out of its files.

    Raises:
        ValueError: no such folder, or not the files of this task in it.
    """
    folder = Path(files)
    train, test = (found_in(folder, [f"qa{task}_*_{part}.txt*" for part in parts]) for parts in PARTS)
    texts = sorted(Path(books).glob("*.txt*"))
    if not texts:
        raise ValueError(f"books={books!r}: there are no *.txt or *.txt.gz in this folder")
    return BabiFiles(train, test, map(book_text, texts))


PARTS = (("train",), ("test", "validation", "valid"))


def found_in(folder: Path, patterns: Iterable[str]) -> Path:
    """The first file of these names.

    Raises:
        ValueError: there is none.
    """
    patterns = list(patterns)
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            return path
    raise ValueError(f"files={str(folder)!r}: there is no {' or '.join(patterns)} in this folder")


def book_text(path: Path) -> str:
    """A file of prose; bytes that are no UTF-8 are replaced."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8", "replace")
