"""Read a document once, ask it questions: a trained model for question answering as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import torch

from memenc.answering import Answering, AnsweringFromMemory, AnsweringFromText
from memenc.data.offsets import PlacedTokens
from memenc.data.tokens import tokenize_document
from memenc.storage.files import check_sealed, whole_folder
from memenc.trained import load_trained
from memenc.training.tasks.answers import AnswerFound
from memenc.training.tasks.question_answering import SpanQuestions
from memenc.training.tasks.questions import QuestionTask


class QuestionAnswerer:
    """Answers questions about one document of any length with a model that `memenc train` wrote.

    With the question in every segment the document is read again with each question, and answers are spans of it; with
    the question last, and for multiple choice, it is read once and every question costs its own tokens.

    Args:
        path: folder written by `memenc train --task question-answering` or multiple-choice.
        device: where to compute.

    Raises:
        ValueError: it is no such folder.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        trained = load_trained(path, torch.device(device))
        if not isinstance(trained.task, QuestionTask):
            raise ValueError(f"{path} holds a model for {trained.task.name}, not for questions; use memenc predict")
        self._task = trained.task
        self._fresh: Answering = (
            AnsweringFromText(trained, PlacedTokens.of("", trained.tokenizer))
            if isinstance(trained.task, SpanQuestions)
            else AnsweringFromMemory(trained)
        )
        self._answering: Answering | None = None

    def read(self, document: str, more: bool = False) -> None:
        """Read a document, or with `more` go on with the one before."""
        if not isinstance(document, str):
            raise ValueError(f"read needs one document, a text; received {type(document).__name__}")
        before = self._answering if more and self._answering is not None else self._fresh
        self._answering = before.read(document)

    @overload
    def ask(self, question: str, options: Sequence[str] | None = None, answers: None = None) -> AnswerFound: ...

    @overload
    def ask(self, question: str, options: Sequence[str] | None = None, *, answers: int) -> list[AnswerFound]: ...

    def ask(
        self, question: str, options: Sequence[str] | None = None, answers: int | None = None
    ) -> AnswerFound | list[AnswerFound]:
        """Answer one question: text, characters in the document, probability and the segment it stands in.

        Args:
            question: a text.
            options: to choose from, for a model for multiple choice.
            answers: give a list of so many answers, best first, as far as there are so many: spans that have no
                character in common, and no answer where that is the best; or the next labels or options. None gives
                the best alone.

        Raises:
            ValueError: nothing was read, a question longer than a segment, options where there must be none, or fewer
                answers than one.
        """
        (found,) = self._ask([question], options, answers)
        return found[0] if answers is None else found

    @overload
    def ask_all(
        self, questions: Sequence[str], options: Sequence[str] | None = None, answers: None = None
    ) -> list[AnswerFound]: ...

    @overload
    def ask_all(
        self, questions: Sequence[str], options: Sequence[str] | None = None, *, answers: int
    ) -> list[list[AnswerFound]]: ...

    def ask_all(
        self, questions: Sequence[str], options: Sequence[str] | None = None, answers: int | None = None
    ) -> list[AnswerFound] | list[list[AnswerFound]]:
        """Answer several questions, some side by side; options and number of answers are the same for all of them.

        Raises:
            ValueError: as for `ask`.
        """
        if isinstance(questions, str):
            raise ValueError("ask_all received one text; give a list of questions, or use ask")
        found = self._ask(questions, options, answers)
        return [each[0] for each in found] if answers is None else found

    def save(self, folder: str | Path) -> None:
        """Write what was read, whole or not at all, to go on asking later."""
        read = self._read()
        with whole_folder(Path(folder)) as temporary:
            read.save(temporary)

    def load(self, folder: str | Path) -> None:
        """Go on with what `save` wrote.

        Raises:
            ValueError: another model wrote it, or it is damaged.
        """
        check_sealed(Path(folder))
        self._answering = self._fresh.load(Path(folder))

    def _read(self) -> Answering:
        if self._answering is None:
            raise ValueError("nothing was read yet: call read(document) or load(folder) first")
        return self._answering

    def _ask(
        self, questions: Sequence[str], options: Sequence[str] | None, answers: int | None
    ) -> list[list[AnswerFound]]:
        """The answers to every question, best first."""
        if isinstance(options, str):
            raise ValueError(f"options must be a list of texts, received one text: {options[:40]!r}")
        read, trained = self._read(), self._fresh.trained
        count = self._task.giving(1 if answers is None else answers).number_of_answers
        room = self._task.question_room(trained.model)
        for question in questions:
            if not isinstance(question, str) or not question.strip():
                raise ValueError(f"a question must be a text that is not empty, received {question!r}")
            tokens = len(tokenize_document(question, trained.tokenizer))
            if tokens > room:
                raise ValueError(
                    f"the question {question[:40]!r} has {tokens} tokens, but a segment has room for {room}; "
                    "shorten it, or train with a longer --segment-length"
                )
        return [found.best_first() for found in read.ask(list(questions), options, count)]
