"""Answers as people read them, out of tokens and logits; and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.data.offsets import PlacedTokens
from memenc.data.questions import AskedQuestion, called
from memenc.tasks.spans import PADDING
from memenc.training.tasks.base import padded
from memenc.training.tasks.objective import Item


@dataclass(frozen=True)
class AnswerFound:
    """An answer to one question.

    Args:
        text: of the answer, empty for no answer.
        score: its probability.
        start: first character in the document, None for labels and no answer.
        end: the character behind it.
        segment: the segment in which the answer starts, or that it rests on most; None for no answer.
        no_answer: probability of there being no answer; None for labels.
        evidence: weight of every segment, for labels.
        on_evidence: whether `segment` holds any evidence that the data names; None where it names none.
    """

    text: str
    score: float
    start: int | None = None
    end: int | None = None
    segment: int | None = None
    no_answer: float | None = None
    evidence: tuple[float, ...] = ()
    on_evidence: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = {"answer": self.text, "score": round(self.score, 6), "start": self.start, "end": self.end}
        found |= {"segment": self.segment}
        found |= {} if self.no_answer is None else {"no_answer": round(self.no_answer, 6)}
        return found | ({"evidence": ranked(self.evidence)} if self.evidence else {})


@dataclass(frozen=True)
class Choice:
    """What is said of one question with options.

    Args:
        option: number of the most probable.
        probabilities: of every option.
        segment: the segment that it rests on most, None for none.
        on_evidence: whether `segment` holds any evidence that the data names; None where it names none.
    """

    option: int
    probabilities: tuple[float, ...]
    segment: int | None
    on_evidence: bool | None = None


Found = TypeVar("Found", AnswerFound, Choice)


def spans_of(question: AskedQuestion, placed: PlacedTokens, where: str) -> list[tuple[int, int]]:
    """First and last token of every right answer, none if there is no answer.

    Raises:
        ValueError: an answer that no token holds.
    """
    found = []
    for answer in question.answers or ():
        assert answer.start is not None
        tokens = placed.tokens(answer.start, answer.end)
        if tokens is None:
            raise ValueError(f"{where}: {called(question)}: no token holds any of its answer {answer.text[:40]!r}")
        found.append(tokens)
    return found


def evidence_of(questions: Sequence[AskedQuestion], text: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """First and last token of all that the answers to every question rest on, as a part of an item; none without any.

    That is the question's evidence or, without, where its answers stand, if they say so.
    """
    stretches = [
        question.evidence or tuple((each.start, each.end) for each in question.answers or () if each.start is not None)
        for question in questions
    ]
    if not any(stretches):
        return {}
    placed = PlacedTokens.of(text, tokenizer)
    tokens = [[placed.tokens(*stretch) for stretch in each] for each in stretches]
    return {"evidence": [[found for found in each if found is not None] for each in tokens]}


def evidence_positions(items: Sequence[Item]) -> dict[str, Tensor]:
    """Tokens of evidence as arguments of a model, if any item has some."""
    if not any("evidence" in item for item in items):
        return {}
    rows = [each for item in items for each in item.get("evidence", [()] * len(item["questions"]))]
    starts, ends = (padded([[stretch[end] for stretch in row] for row in rows], PADDING)[0] for end in (0, 1))
    return {"start_positions": starts, "end_positions": ends}


def marked(items: Sequence[Item], answers: Sequence[Sequence[Found]], room: int) -> list[list[Found]]:
    """The answers, each with whether its segment holds evidence; `room` is the document's own tokens of a segment."""
    found = []
    for item, each in zip(items, answers, strict=True):
        evidence = item.get("evidence", [()] * len(each))
        held = [{number for first, last in x for number in range(first // room, last // room + 1)} for x in evidence]
        pairs = zip(each, held, strict=True)
        found.append([replace(x, on_evidence=x.segment in numbers if numbers else None) for x, numbers in pairs])
    return found


def evidence_scores(answers: Sequence[Sequence[Found]]) -> dict[str, float]:
    """How many questions name evidence, and the share of their answers that rest on it; empty where none does."""
    named = [found.on_evidence for each in answers for found in each if found.on_evidence is not None]
    return {"evidence_questions": len(named), "evidence_hit": sum(named) / len(named)} if named else {}


def answer_of(placed: PlacedTokens, first: int, last: int, score: float, none: float, room: int) -> AnswerFound:
    """The span of tokens as an answer, or no answer where that is more probable; `room` is a segment's own tokens."""
    if first < 0 or none > score:
        return AnswerFound("", none, no_answer=none)
    start, end = placed.characters(first, last)
    return AnswerFound(placed.text[start:end], score, start, end, first // room, none)


def label_answer(names: Sequence[str], shares: Sequence[float], evidence: Sequence[float]) -> AnswerFound:
    """The most probable label."""
    best = int(np.argmax(shares))
    return AnswerFound(names[best], shares[best], segment=top(evidence), evidence=tuple(evidence))


def top(evidence: Sequence[float]) -> int | None:
    """The segment with the most weight, None if there is none."""
    return int(np.argmax(evidence)) if any(evidence) else None


def ranked(evidence: Sequence[float], most: int = 5) -> list[list[float]]:
    """The segments with the most weight, best first: [segment, weight]."""
    order = sorted(range(len(evidence)), key=lambda segment: -evidence[segment])[:most]
    return [[segment, round(evidence[segment], 6)] for segment in order if evidence[segment] > 0]
