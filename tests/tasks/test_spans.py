"""Spans of documents: their likelihood and the best one, against tables of tokens by tokens."""

import itertools
import math
import random

import pytest
import torch

from memenc.tasks.spans import NO_ANSWER, PADDING, SpanLogits, best_spans, span_loss, spans_apart

TOKENS = 23


def random_logits(*lengths):
    valid = torch.arange(max([*lengths, 0])) < torch.tensor(lengths)[:, None]
    start, end = torch.randn(2, *valid.shape, dtype=torch.float64).masked_fill(~valid, torch.finfo(torch.float64).min)
    return SpanLogits(start, end, torch.randn(len(lengths), dtype=torch.float64)), valid


@pytest.mark.parametrize("longest", (1, 2, 5, 100))
def test_the_best_span_is_that_of_a_table(longest):
    lengths = (TOKENS, 1, random.randrange(1, TOKENS))
    logits, _ = random_logits(*lengths)
    found = best_spans(logits, longest)
    for row, length in enumerate(lengths):
        table = {
            (first, last): float(logits.start[row, first] + logits.end[row, last])
            for first in range(length)
            for last in range(first, min(length, first + longest))
        }
        best = max(table, key=table.get)
        assert (int(found.start[row]), int(found.end[row])) == best
        assert float(found.score[row]) == table[best]


def test_a_document_without_tokens_has_no_best_span():
    for lengths in ((0,), (0, 3)):
        logits, _ = random_logits(*lengths)
        found = best_spans(logits, 4)
        assert int(found.start[0]) == int(found.end[0]) == -1 and float(found.score[0]) == -math.inf
    with pytest.raises(ValueError, match="max_answer_tokens=0"):
        best_spans(logits, 0)


def test_the_loss_is_that_of_a_table():
    logits, valid = random_logits(TOKENS, 7, 1)
    starts = torch.tensor([[3, 20, PADDING], [6, 0, 2], [NO_ANSWER, PADDING, PADDING]])
    ends = torch.tensor([[4, 22, PADDING], [6, 5, 2], [NO_ANSWER, PADDING, PADDING]])
    wanted = 0.0
    for row, length in enumerate((TOKENS, 7, 1)):
        table = (logits.start[row, :length, None] + logits.end[row, :length]).exp()
        none = logits.none[row].exp()
        spans = [(s, e) for s, e in zip(starts[row].tolist(), ends[row].tolist(), strict=True) if s != PADDING]
        right = sum(none if s == NO_ANSWER else table[s, e] for s, e in spans)
        wanted -= float(torch.log(right / (table.sum() + none))) / 3
    assert float(span_loss(logits, starts, ends, valid)) == pytest.approx(wanted, rel=1e-9)


def test_answers_that_several_people_gave_count_once():
    logits, valid = random_logits(TOKENS, 7)
    starts = torch.tensor([[3, 20, 3, 3], [NO_ANSWER, NO_ANSWER, PADDING, PADDING]])
    ends = torch.tensor([[4, 22, 4, 5], [NO_ANSWER, NO_ANSWER, PADDING, PADDING]])
    once = torch.tensor([[3, 20, 3], [NO_ANSWER, PADDING, PADDING]])
    last = torch.tensor([[4, 22, 5], [NO_ANSWER, PADDING, PADDING]])
    assert torch.equal(span_loss(logits, starts, ends, valid), span_loss(logits, once, last, valid))
    same = torch.zeros(2, 5, dtype=torch.long)
    assert float(span_loss(logits, same, same, valid)) >= 0


def test_an_answer_starts_where_there_are_words():
    logits, _ = random_logits(TOKENS, 9)
    words = torch.zeros(2, TOKENS, dtype=torch.bool)
    words[0, [4, 11]] = True
    found = best_spans(logits, 5, words)
    assert int(found.start[0]) in (4, 11) and int(found.start[1]) == -1
    assert float(found.score[1]) == -math.inf


def apart_of_a_table(logits, longest, words, held):
    """Every span of a document, best first, without those that share a token with what one before it holds."""
    tokens = logits.start.shape[1]
    spans = [
        (-float(logits.start[0, first] + logits.end[0, last]), first, last)
        for first in range(tokens)
        for last in range(first, min(tokens, first + longest))
        if words[0, first]
    ]
    found, taken = [], set()
    for cost, first, last in sorted(spans):
        if taken.isdisjoint(range(first, last + 1)):
            found.append((first, last, -cost))
            begin, end = held(first, last)
            taken |= set(range(begin, end + 1))
    return found


@pytest.mark.parametrize("whole", (True, False), ids=("ties", "no ties"))
@pytest.mark.parametrize("longest", (1, 3, 100))
def test_spans_apart_are_those_of_a_table(longest, whole):
    for tokens, beside in itertools.product((0, 1, TOKENS), (0, 2)):
        logits, _ = random_logits(tokens)
        if whole:
            # Seven different numbers in 23 places: many spans are equally good.
            logits = SpanLogits(logits.start.round().clamp(-3, 3), logits.end.round().clamp(-3, 3), logits.none)
        words = torch.rand(1, tokens) < 0.8

        def held(first, last, beside=beside):
            return first - beside, last + beside

        found = list(spans_apart(logits, longest, words, held))
        assert found == apart_of_a_table(logits, longest, words, held)
        best = best_spans(logits, longest, words)
        assert [(int(best.start), int(best.end), float(best.score))] == (found[:1] or [(-1, -1, -math.inf)])


def test_one_answer_each_may_be_a_row():
    logits, valid = random_logits(9, 9)
    starts, ends = torch.tensor([1, 4]), torch.tensor([2, 8])
    assert torch.equal(span_loss(logits, starts, ends, valid), span_loss(logits, starts[:, None], ends[:, None], valid))


def test_an_empty_document_has_no_answer_for_certain():
    logits, valid = random_logits(0)
    none = torch.tensor([NO_ANSWER])
    assert float(span_loss(logits, none, none, valid)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "start, end, message",
    [
        (3, 9, "the tokens 3 to 9, but its document has 5"),
        (5, 5, "the tokens 5 to 5, but its document has 5"),
        (3, 2, "the tokens 3 to 2"),
        (-1, 2, "the tokens -1 to 2"),
        (-7, -7, "the tokens -7"),
        (-100, -100, "question 1 has neither an answer nor -1"),
    ],
)
def test_spans_outside_their_document_are_refused(start, end, message):
    logits, valid = random_logits(9, 5)
    with pytest.raises(ValueError, match=message):
        span_loss(logits, torch.tensor([0, start]), torch.tensor([8, end]), valid)
    with pytest.raises(ValueError, match="must be alike"):
        span_loss(logits, torch.tensor([0]), torch.tensor([0]), valid)
