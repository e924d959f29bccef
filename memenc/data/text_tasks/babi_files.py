"""The stories of bAbI from its files, in sentences of any books."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import numpy

from memenc.data.memory_tasks.base import Split
from memenc.data.sources import byte_lines
from memenc.data.text_tasks.base import SPLITS, Asked, AskedTextTask

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
TRAIN_SHARE = 0.7


@dataclass(frozen=True)
class BabiQuestion:
    """A question of a story.

    Args:
        statements: all that the story told before, in order.
        question: as in the file.
        answer: as in the file.
    """

    statements: tuple[str, ...]
    question: str
    answer: str

    @cached_property
    def told_words(self) -> int:
        """Of the statements."""
        return sum(len(statement.split()) for statement in self.statements)

    @cached_property
    def words(self) -> int:
        """Of statements and question together."""
        return self.told_words + len(self.question.split())


def read_babi(path: Path) -> list[BabiQuestion]:
    """All questions of a file in the format of bAbI, gzipped if it ends in .gz.

    Source: Weston et al. 2015, Towards AI-Complete Question Answering (arXiv:1502.05698): lines `number statement` and
    `number question<tab>answer<tab>numbers of supporting statements`; number 1 begins a story.

    Args:
        path: of the file.

    Raises:
        ValueError: a line without a number, or a file without questions.
    """
    questions, statements = [], []
    for number, line in byte_lines(path):
        if not line.strip():
            continue
        turn, _, told = line.decode().strip().partition(" ")
        if not turn.isdigit() or not told:
            raise ValueError(f"{path}:{number}: expected `number statement`, received {line[:40]!r}")
        statements = [] if turn == "1" else statements
        question, *answer = told.split("\t")
        if answer:
            questions.append(BabiQuestion(tuple(statements), question.strip(), answer[0].strip()))
        else:
            statements.append(told)
    if not questions:
        raise ValueError(f"{path} has no questions: lines with a tab between question and answer")
    return questions


@final
class BabiFiles(AskedTextTask):
    """Statements of a bAbI story in their order between sentences of running prose; the last line asks.

    Answers are drawn first, so that they are balanced. Filler is running text from a random place on, of the first 70 %
    of every book in training and of the rest in testing.

    Source: Kuratov et al. 2024, BABILong (arXiv:2406.10149).

    Args:
        train: file of questions to train on.
        test: file of questions to test on, with no other answers.
        books: texts of prose.

    Raises:
        ValueError: files that do not fit each other, or too little prose for both splits.
    """

    what_to_keep = "All that the story tells, among prose that does not matter: the question asks for any of it."

    def __init__(self, train: Path, test: Path, books: Iterable[str]) -> None:
        self.name = train.name.split("_")[0]
        self._questions = {"train": read_babi(train), "test": read_babi(test)}
        answers = {split: {question.answer for question in x} for split, x in self._questions.items()}
        if unknown := answers["test"] - answers["train"]:
            raise ValueError(f"{test} has answers that {train} has not: {', '.join(sorted(unknown))}")
        self.classes = tuple(sorted(answers["train"]))
        self.chance = max(1 / len(self.classes), guessed(self._questions["train"], self._questions["test"]))
        self.longest_question = max(len(x.question.split()) for all_of in self._questions.values() for x in all_of)
        shortest = [
            min(x.told_words for x in self._questions[split] if x.answer == answer)
            for split, found in answers.items()
            for answer in found
        ]
        self.least_words = max(shortest)
        self._filler = _filler_words(books)

    def _documents(self, seed: int, count: int, words: int, split: Split) -> tuple[list[str], list[str]]:
        generator = numpy.random.default_rng((seed, SPLITS.index(split)))
        chosen = self._chosen(generator, count, split, words, lambda question: question.words)
        told = [self._text(x, words - len(x.question.split()), split, generator) for x in chosen]
        texts = ["\n".join(filter(None, (text, x.question))) for text, x in zip(told, chosen, strict=True)]
        return texts, [question.answer for question in chosen]

    def asked(self, seed: int, count: int, words: int, split: Split) -> Asked:
        """Documents of exactly so many words, and their questions.

        Raises:
            ValueError: fewer words than the shortest story has.
        """
        generator = numpy.random.default_rng((seed, SPLITS.index(split)))
        chosen = self._chosen(generator, count, split, words, lambda question: question.told_words)
        texts = [self._text(question, words, split, generator) for question in chosen]
        return Asked(texts, [question.question for question in chosen], [question.answer for question in chosen])

    def _chosen(
        self,
        generator: numpy.random.Generator,
        count: int,
        split: Split,
        words: int,
        size: Callable[[BabiQuestion], int],
    ) -> list[BabiQuestion]:
        """Questions of balanced answers, of at most so many words by that size."""
        fitting: dict[str, list[BabiQuestion]] = {}
        for question in self._questions[split]:
            if size(question) <= words:
                fitting.setdefault(question.answer, []).append(question)
        if not fitting:
            shortest = min(map(size, self._questions[split]))
            raise ValueError(f"words={words}: the shortest story of {self.name} has {shortest}")
        labels = [sorted(fitting)[number] for number in generator.integers(len(fitting), size=count)]
        return [fitting[label][int(generator.integers(len(fitting[label])))] for label in labels]

    def _text(self, story: BabiQuestion, words: int, split: Split, generator: numpy.random.Generator) -> str:
        """What is told, in so many words, statements among prose."""
        filler = self._filler[split]
        start = int(generator.integers(len(filler)))
        parts = _sentences(filler, start, words - story.told_words)
        gaps = sorted(generator.integers(len(parts) + 1, size=len(story.statements)), reverse=True)
        for gap, statement in zip(gaps, reversed(story.statements), strict=True):
            parts.insert(int(gap), statement)
        return " ".join(parts)


def guessed(train: Sequence[BabiQuestion], test: Sequence[BabiQuestion]) -> float:
    """Accuracy on the test questions, answers balanced, of who knows the most frequent answer to each question.

    Another question than those known is guessed blindly. A question can tell much: who gave something is a person, and
    who asks what is north of the garden is not told the garden.
    """
    known: dict[str, dict[str, float]] = {}
    for question, weight in balanced(train):
        answers = known.setdefault(question.question, {})
        answers[question.answer] = answers.get(question.answer, 0.0) + weight
    best = {question: max(answers, key=lambda answer: answers[answer]) for question, answers in known.items()}
    blind = 1 / len({question.answer for question in train})
    return sum(
        weight * (best[question.question] == question.answer if question.question in best else blind)
        for question, weight in balanced(test)
    )


def balanced(questions: Sequence[BabiQuestion]) -> list[tuple[BabiQuestion, float]]:
    """Every question with how often it is drawn, answers being equally frequent."""
    counts = Counter(question.answer for question in questions)
    return [(question, 1 / (len(counts) * counts[question.answer])) for question in questions]


def _filler_words(books: Iterable[str]) -> dict[Split, list[str]]:
    """Sentences of both splits."""
    filler: dict[Split, list[str]] = {"train": [], "test": []}
    for book in books:
        sentences = [" ".join(sentence.split()) for sentence in SENTENCE_END.split(book) if sentence.strip()]
        border = round(TRAIN_SHARE * len(sentences))
        filler["train"] += sentences[:border]
        filler["test"] += sentences[border:]
    if not all(filler.values()):
        raise ValueError(f"books of {sum(map(len, filler.values()))} sentences: give prose for both splits")
    return filler


def _sentences(filler: Sequence[str], start: int, words: int) -> list[str]:
    """Sentences with so many words from a place on, round and round; the last one is cut."""
    parts, left = [], words
    while left > 0:
        sentence = filler[start % len(filler)].split()[:left]
        parts.append(" ".join(sentence))
        left, start = left - len(sentence), start + 1
    return parts
