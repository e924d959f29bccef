"""Several answers to a question: against all spans of a document, in its characters, whatever the tokenizer."""

import random

import pytest
import torch

from memenc.data.offsets import PlacedTokens
from memenc.tasks.spans import SpanLogits
from memenc.training.tasks.answers import label_answer, span_answers
from tests.data.tiny_tokenizers import BUILDERS, tiny_tokenizer

LONGEST, ROOM = 7, 5
# Characters of several tokens, several characters of one token, and marks that belong to the character before them.
TEXTS = ["nai\u0308ve café 中文 日本 😀😀\n\n  x   y", "end.\n\n\nnext,  one 12345 678 90", " \t", ""]


def random_logits(lengths, whole):
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    start, end = torch.randn(2, *valid.shape)
    if whole:
        start, end = start.round(), end.round()
    lowest = torch.finfo(torch.float32).min
    start, end = start.masked_fill(~valid, lowest), end.masked_fill(~valid, lowest)
    return SpanLogits(start, end, torch.randn(len(lengths)))


def answers_of_a_table(logits, row, placed):
    """Characters and probabilities of all spans, best first, of which none has a character of one before it."""
    tokens, total = len(placed.ids), logits.log_total()[row]
    spans = [
        (-float(logits.start[row, first] + logits.end[row, last]), first, last)
        for first in range(tokens)
        for last in range(first, min(tokens, first + LONGEST))
        if placed.words[first]
    ]
    found = []
    for cost, first, last in sorted(spans):
        start, end = placed.characters(first, last)
        if all(end <= other or behind <= start for other, behind, *_ in found):
            found.append((start, end, first // ROOM, float((-cost - total).exp())))
    return found


@pytest.mark.parametrize("whole", (True, False), ids=("ties", "no ties"))
@pytest.mark.parametrize("family", BUILDERS)
def test_answers_are_those_of_a_table_of_all_spans(family, whole):
    texts = [*TEXTS, "".join(random.choices("ab é😀日 \n.", k=30))]
    placed = [PlacedTokens.of(text, tiny_tokenizer(family)) for text in texts]
    logits, rooms = random_logits([len(each.ids) for each in placed], whole), [ROOM] * len(texts)
    alone = span_answers(logits, placed, rooms, LONGEST)
    several = span_answers(logits, placed, rooms, LONGEST, answers=4)
    for row, (best, found) in enumerate(zip(alone, several, strict=True)):
        first, *further = found.best_first()
        assert first == best and not best.further
        wanted = answers_of_a_table(logits, row, placed[row])
        spans = further if best.start is None else [best, *further]
        assert [(each.start, each.end, each.segment) for each in spans] == [
            each[:3] for each in wanted[: 4 - (best.start is None)]
        ]
        assert [each.score for each in spans] == pytest.approx([each[3] for each in wanted[: len(spans)]], rel=1e-5)
        assert all(each.text == texts[row][each.start : each.end] for each in spans)
        assert all(each.no_answer == best.no_answer for each in further)


@pytest.mark.parametrize("none", (-50.0, 50.0))
def test_no_answer_is_first_where_it_is_best_and_then_comes_the_best_span(none):
    placed = PlacedTokens.of("word1 word2 word3", tiny_tokenizer("byte level"))
    logits = random_logits([len(placed.ids)], whole=False)
    logits = SpanLogits(logits.start, logits.end, torch.tensor([none]))
    (found,) = span_answers(logits, [placed], [ROOM], LONGEST, answers=2)
    texts = [each.start is None for each in found.best_first()]
    assert texts == [none > 0, False]


def test_labels_come_in_the_order_of_their_probabilities():
    found = label_answer("abcd", [0.2, 0.4, 0.2, 0.2], [[0.0], [0.0], [1.0], [0.0]], answers=3)
    assert [each.text for each in found.best_first()] == ["b", "a", "c"]
    assert [each.segment for each in found.best_first()] == [None, None, 0]
    assert found.best_first()[0] == label_answer("abcd", [0.2, 0.4, 0.2, 0.2], [[0.0]] * 4)
