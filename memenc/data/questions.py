"""Questions about documents as files have them, with every problem named."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from memenc.data.records import Record, Understanding


@dataclass(frozen=True)
class Answer:
    """A right answer: its text, and the character of the document at which it starts, if that is known."""

    text: str
    start: int | None = None

    @property
    def end(self) -> int:
        """The character behind it."""
        assert self.start is not None
        return self.start + len(self.text)


@dataclass(frozen=True)
class AskedQuestion:
    """One question about a document.

    Args:
        text: of the question.
        id: of the question, None if it has none.
        answers: right answers, none if the document has no answer; None where nobody said.
        options: to choose from, none if there are none.
        answer: number of the right option, None where nobody said.
        evidence: stretches of the document that an answer rests on, as characters [start, end).
    """

    text: str
    id: str | None = None
    answers: tuple[Answer, ...] | None = None
    options: tuple[str, ...] = ()
    answer: int | None = None
    evidence: tuple[tuple[int, int], ...] = ()


class UniqueNames(Understanding, ABC):
    """Refuses a second document, or a second question, of the same id."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], int] = {}
        self._of_this: dict[tuple[str, str], int] = {}

    def note(self, kind: str, name: str | None, line: int) -> None:
        """Remember an id.

        Raises:
            ValueError: it was there before.
        """
        if name is None:
            return
        before = self._lines.get((kind, name), self._of_this.get((kind, name)))
        if before is not None:
            raise ValueError(f"{kind} id {name!r} is there twice, first in line {before}; give every one its own")
        self._of_this[kind, name] = line

    def check(self, record: Record) -> None:
        """Note the ids of a record that is as it should be; one that is left out takes none away."""
        self._of_this = {}
        self.note("document", record.id, record.line)
        self.examine(record)
        self._lines |= self._of_this

    @abstractmethod
    def examine(self, record: Record) -> None:
        """Refuse questions that are not as they should be, and note their ids."""


class QuestionsWithAnswers(UniqueNames):
    """Documents with the column "questions": [{"id", "question", "answers": [{"text", "start"}, ...]}, ...].

    Answers may also be written as in SQuAD, with "answer_start", or as {"text": [...], "answer_start": [...]}.

    Args:
        answered: every question needs its answers.
        in_document: every answer needs the place at which it stands in the document.
    """

    def __init__(self, answered: bool, in_document: bool = True) -> None:
        super().__init__()
        self.answered, self.in_document = answered, in_document

    def examine(self, record: Record) -> None:
        """Refuse questions or answers that are not as they should be."""
        for question in questions_of(record):
            self.note("question", question.id, record.line)
            if question.answers is None and self.answered:
                raise ValueError(f"{called(question)} has no 'answers'; give a list, empty if there is no answer")
            for answer in question.answers or ():
                _check_place(answer, question, record.text, self.in_document and self.answered)
            _check_evidence(question, record.text)


class QuestionsWithOptions(UniqueNames):
    """Documents with the column "questions": [{"id", "question", "options": [str, ...], "answer": int}, ...].

    Args:
        answered: every question needs the number of its right option.
    """

    def __init__(self, answered: bool) -> None:
        super().__init__()
        self.answered = answered

    def examine(self, record: Record) -> None:
        """Refuse questions or options that are not as they should be."""
        for question in questions_of(record):
            self.note("question", question.id, record.line)
            count = len(question.options)
            if count < 2 or not all(option.strip() for option in question.options):
                raise ValueError(f"{called(question)} needs at least 2 options that are not empty, it has {count}")
            if question.answer is None and self.answered:
                raise ValueError(f"{called(question)} has no 'answer': the number of its right option, from 0")
            if question.answer is not None and not 0 <= question.answer < count:
                raise ValueError(f"{called(question)} has the answer {question.answer}, but {count} options, from 0")
            _check_evidence(question, record.text)


def questions_of(record: Record) -> list[AskedQuestion]:
    """The questions in the label column of a record.

    Raises:
        ValueError: there are none, or one is not as it should be.
    """
    if not isinstance(record.label, list) or not record.label:
        raise ValueError(f"questions must be a list of at least one, found {str(record.label)[:40]!r}")
    return [_question(value, place) for place, value in enumerate(record.label)]


def called(question: AskedQuestion) -> str:
    """How messages call a question."""
    return f"question {question.id or question.text[:40]!r}"


def _question(value: Any, place: int) -> AskedQuestion:
    text = value.get("question") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"question {place} needs a text under 'question', found {str(value)[:60]!r}")
    answers, options, answer = value.get("answers"), value.get("options") or [], value.get("answer")
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ValueError(f"question {text[:40]!r}: 'options' must be a list of texts, found {str(options)[:40]!r}")
    if answer is not None and type(answer) is not int:
        raise ValueError(f"question {text[:40]!r}: 'answer' must be the number of an option, found {answer!r}")
    name = None if value.get("id") is None else str(value["id"])
    found = None if answers is None else tuple(_answer(each, text) for each in _listed(answers, text))
    stretches = value.get("evidence") or []
    # What is no list is refused as one wrong stretch.
    evidence = tuple(_stretch(each, text) for each in (stretches if isinstance(stretches, list) else [stretches]))
    return AskedQuestion(text, name, found, tuple(options), answer, evidence)


def _stretch(value: Any, question: str) -> tuple[int, int]:
    if not isinstance(value, list) or [type(end) for end in value] != [int, int]:
        raise ValueError(
            f"question {question[:40]!r}: 'evidence' must be a list of [start, end], characters of the document, found "
            f"{str(value)[:40]!r}"
        )
    return value[0], value[1]


def _listed(answers: Any, question: str) -> list[Any]:
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start", answers.get("start"))
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            return [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(answers, list):
        raise ValueError(f"question {question[:40]!r}: 'answers' must be a list, found {str(answers)[:40]!r}")
    return answers


def _answer(value: Any, question: str) -> Answer:
    text = value.get("text") if isinstance(value, dict) else None
    start = value.get("start", value.get("answer_start")) if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip() or (start is not None and type(start) is not int):
        raise ValueError(
            f"question {question[:40]!r}: an answer needs a 'text' and the number 'start', found {str(value)[:60]!r}"
        )
    return Answer(text, start)


def _check_place(answer: Answer, question: AskedQuestion, document: str, needed: bool) -> None:
    if answer.start is None:
        if needed:
            raise ValueError(f"{called(question)}: the answer {answer.text[:40]!r} has no 'start'")
        return
    if answer.start < 0 or answer.end > len(document):
        raise ValueError(
            f"{called(question)}: the answer {answer.text[:40]!r} at character {answer.start} lies outside its "
            f"document of {len(document):,} characters"
        )
    there = document[answer.start : answer.end]
    if there != answer.text:
        raise ValueError(
            f"{called(question)}: at character {answer.start} stands {there[:40]!r}, not the answer "
            f"{answer.text[:40]!r}; 'start' counts characters of the document"
        )


def _check_evidence(question: AskedQuestion, document: str) -> None:
    for start, end in question.evidence:
        if not 0 <= start < end <= len(document):
            raise ValueError(
                f"{called(question)}: the evidence [{start}, {end}] is no stretch of its document of "
                f"{len(document):,} characters"
            )
