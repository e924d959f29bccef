"""Answers as people read them, out of tokens and logits; and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.data.collate import padded
from memenc.data.offsets import PlacedTokens
from memenc.data.questions import AskedQuestion, called
from memenc.tasks.spans import PADDING, SpanLogits, best_spans, spans_apart
from memenc.training.tasks.objective import Item

# Segments of a label's evidence that are named, those with the most weight.
EVIDENCE_SHOWN = 5


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
        further: the next answers, best first, of which no two have a character in common; none if one was asked for.
    """

    text: str
    score: float
    start: int | None = None
    end: int | None = None
    segment: int | None = None
    no_answer: float | None = None
    evidence: tuple[float, ...] = ()
    on_evidence: bool | None = None
    further: tuple[AnswerFound, ...] = ()

    @property
    def place(self) -> dict[str, Any]:
        """Plain values: what it is, and where it stands."""
        found = {"answer": self.text, "score": round(self.score, 6), "start": self.start, "end": self.end}
        return found | {"segment": self.segment}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the further answers."""
        found = self.place | ({} if self.no_answer is None else {"no_answer": round(self.no_answer, 6)})
        return found | ({"evidence": ranked(self.evidence)} if self.evidence else {})

    def best_first(self) -> list[AnswerFound]:
        """This answer, alone, and the further ones."""
        return [replace(self, further=()), *self.further]


@dataclass(frozen=True)
class Choice:
    """What is said of one question with options.

    Args:
        option: number of the most probable.
        probabilities: of every option.
        segment: the segment that it rests on most, None for none.
        on_evidence: whether `segment` holds any evidence that the data names; None where it names none.
        further: the next options, best first, each with its segment; none if one was asked for.
    """

    option: int
    probabilities: tuple[float, ...]
    segment: int | None
    on_evidence: bool | None = None
    further: tuple[Choice, ...] = ()

    def place(self, options: Sequence[str]) -> dict[str, Any]:
        """Plain values of one of these options: what it is, and what it rests on."""
        score = round(self.probabilities[self.option], 6)
        return {"option": self.option, "answer": options[self.option], "score": score, "segment": self.segment}


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


def span_answers(
    logits: SpanLogits,
    placed: Sequence[PlacedTokens],
    rooms: Sequence[int],
    max_answer_tokens: int,
    answers: int = 1,
) -> list[AnswerFound]:
    """The best span of every document, or no answer where that is more probable; further answers are the next spans.

    Args:
        logits: of documents that are padded on the right.
        placed: the documents.
        rooms: own tokens of a segment of each.
        max_answer_tokens: of an answer.
        answers: how many to give, as far as there are so many.
    """
    words = torch.zeros_like(logits.start, dtype=torch.bool)
    for row, each in enumerate(placed):
        words[row, : len(each.ids)] = torch.from_numpy(each.words)
    spans, total = best_spans(logits, max_answer_tokens, words), logits.log_total()
    none = (logits.none - total).exp().tolist()
    score = (spans.score - total).exp().tolist()
    best = zip(placed, spans.start.tolist(), spans.end.tolist(), score, none, rooms, strict=True)
    found = [answer_of(*each) for each in best]
    if answers == 1:
        return found
    complete = []
    for row, (answer, each, room) in enumerate(zip(found, placed, rooms, strict=True)):
        tokens = len(each.ids)
        apart = spans_apart(logits.part(row, 0, tokens), max_answer_tokens, words[row : row + 1, :tokens], each.sharing)
        further = further_answers(answer, apart, total[row], each, room, answers - 1)
        complete.append(replace(answer, further=further))
    return complete


def answer_of(placed: PlacedTokens, first: int, last: int, score: float, none: float, room: int) -> AnswerFound:
    """The span of tokens as an answer, or no answer where that is more probable; `room` is a segment's own tokens."""
    if first < 0 or none > score:
        return AnswerFound("", none, no_answer=none)
    return span_answer(placed, first, last, score, none, room)


def span_answer(
    placed: PlacedTokens, first: int, last: int, score: float, none: float | None, room: int
) -> AnswerFound:
    """The span of tokens as an answer, however probable."""
    start, end = placed.characters(first, last)
    return AnswerFound(placed.text[start:end], score, start, end, first // room, none)


def further_answers(
    best: AnswerFound,
    apart: Iterator[tuple[int, int, float]],
    total: Tensor,
    placed: PlacedTokens,
    room: int,
    count: int,
) -> tuple[AnswerFound, ...]:
    """The next spans after the best one; where the best is no answer, the best span is the next.

    Args:
        best: what is said first.
        apart: spans of the document, best first, with start plus end logit.
        total: log of the sum over all pairs of tokens and no answer.
        placed: the document.
        room: own tokens of a segment.
        count: how many, as far as there are so many.
    """
    known = int(best.start is not None)
    found = []
    for first, last, logit in islice(apart, known, known + count):
        # In the type of the best one's score, so that an equal logit is an equal score.
        share = float((total.new_tensor(logit) - total).exp())
        found.append(span_answer(placed, first, last, share, best.no_answer, room))
    return tuple(found)


def label_answer(
    names: Sequence[str], shares: Sequence[float], evidence: Sequence[Sequence[float]], answers: int = 1
) -> AnswerFound:
    """The most probable label, with the next ones as further answers; `evidence` is that of each label."""
    places = highest(shares, answers)
    found = [
        AnswerFound(names[place], shares[place], segment=top(evidence[place]), evidence=tuple(evidence[place]))
        for place in places
    ]
    return replace(found[0], further=tuple(found[1:]))


def highest(shares: Sequence[float], count: int) -> list[int]:
    """Places of the highest shares, best first; of equal ones the first."""
    return np.argsort(-np.asarray(shares), kind="stable")[:count].tolist()


def top(evidence: Sequence[float]) -> int | None:
    """The segment with the most weight, None if there is none."""
    return int(np.argmax(evidence)) if any(evidence) else None


def ranked(evidence: Sequence[float]) -> list[list[float]]:
    """The segments with the most weight, best first: [segment, weight]."""
    order = sorted(range(len(evidence)), key=lambda segment: -evidence[segment])[:EVIDENCE_SHOWN]
    return [[segment, round(evidence[segment], 6)] for segment in order if evidence[segment] > 0]
