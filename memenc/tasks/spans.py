"""Answers as spans of a document: their likelihood, and the best spans without a table of tokens by tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import torch
from torch import Tensor
from torch.nn import functional

# What `start_positions` and `end_positions` hold where there is no answer, and where the list of answers is padded.
NO_ANSWER, PADDING = -1, -100


@dataclass(frozen=True)
class SpanLogits:
    """Scores of answers in documents, in float32 at least.

    Shapes: start, end (documents, tokens), the lowest number of their type at padding; none (documents,), of there
    being no answer, on the scale of start plus end.
    """

    start: Tensor
    end: Tensor
    none: Tensor

    def log_total(self) -> Tensor:
        """Log of the sum over every pair of tokens and over no answer, (documents,)."""
        return torch.logaddexp(self.start.logsumexp(1) + self.end.logsumexp(1), self.none)

    def part(self, document: int, first: int, behind: int) -> SpanLogits:
        """Those of one document's tokens from the first up to the one behind the last."""
        rows = slice(document, document + 1)
        return SpanLogits(self.start[rows, first:behind], self.end[rows, first:behind], self.none[rows])


@dataclass(frozen=True)
class BestSpans:
    """The best span of every document: first and last token (documents,), and start plus end logit.

    A document without tokens has the span (-1, -1) and minus infinity.
    """

    start: Tensor
    end: Tensor
    score: Tensor


def span_loss(logits: SpanLogits, starts: Tensor, ends: Tensor, valid: Tensor) -> Tensor:
    """Negative log of the probability of all answers together, mean over documents.

    One softmax over the pairs of all tokens of the document and no answer: shared normalisation, and the sum over
    answers, of Clark and Gardner 2018 (arXiv:1710.10723).

    Args:
        logits: of the documents.
        starts: (documents,) or (documents, answers) first token of every answer; -1 for no answer, -100 for padding.
        ends: the last token, like it.
        valid: (documents, tokens) bool, False at padding.

    Raises:
        ValueError: a span that lies outside its document or ends before it starts, or a document without a target.
    """
    starts, ends = (each[:, None] if each.dim() == 1 else each for each in (starts, ends))
    starts, ends = without_repetition(starts, ends)
    _check_spans(starts, ends, valid)
    if valid.shape[1] == 0:
        lowest = torch.finfo(logits.start.dtype).min
        start, end = (functional.pad(each, (0, 1), value=lowest) for each in (logits.start, logits.end))
        logits = SpanLogits(start, end, logits.none)
    found = logits.start.gather(1, starts.clamp(min=0)) + logits.end.gather(1, ends.clamp(min=0))
    found = torch.where(starts == NO_ANSWER, logits.none[:, None], found)
    answers = found.masked_fill(starts == PADDING, -torch.inf).logsumexp(1)
    return (logits.log_total() - answers).mean()


def best_spans(logits: SpanLogits, max_answer_tokens: int, words: Tensor | None = None) -> BestSpans:
    """The span of at most so many tokens with the highest start plus end logit, in time and memory of the document.

    Args:
        logits: of documents that are padded on the right.
        max_answer_tokens: of an answer.
        words: (documents, tokens) bool, where an answer may start; None for everywhere.

    Raises:
        ValueError: max_answer_tokens is below 1.
    """
    if max_answer_tokens < 1:
        raise ValueError(f"max_answer_tokens={max_answer_tokens}: give at least 1")
    documents, tokens = logits.start.shape
    lowest = torch.finfo(logits.start.dtype).min
    if tokens == 0:
        nowhere = torch.full((documents,), -1, device=logits.start.device)
        return BestSpans(nowhere, nowhere, logits.none.new_full((documents,), -torch.inf))
    window = min(max_answer_tokens, tokens)
    behind = functional.pad(logits.end, (0, window - 1), value=lowest)
    best_end, place = functional.max_pool1d(behind[:, None], window, stride=1, return_indices=True)
    begin = logits.start if words is None else logits.start.masked_fill(~words, lowest)
    # In half the range two of the lowest numbers can be added.
    scores = begin.clamp(min=lowest / 2) + best_end[:, 0].clamp(min=lowest / 2)
    score, start = scores.max(1)
    end = place[:, 0].gather(1, start[:, None])[:, 0]
    empty = score <= lowest / 2
    return BestSpans(start.masked_fill(empty, -1), end.masked_fill(empty, -1), score.masked_fill(empty, -torch.inf))


def spans_apart(
    logits: SpanLogits, max_answer_tokens: int, words: Tensor, held: Callable[[int, int], tuple[int, int]]
) -> Iterator[tuple[int, int, float]]:
    """Spans of one document, best first: each the best of all that share no token with what those before it hold.

    The first is that of `best_spans`. Of equal scores the span that starts first is first, or else that ends first.

    Args:
        logits: of the document alone.
        max_answer_tokens: of a span.
        words: (1, tokens) bool, where a span may start.
        held: the first and the last token that no other span may have, given those of a span.

    Yields:
        First and last token, and start plus end logit.
    """

    def best_within(first: int, behind: int) -> tuple[float, int, int, int, int]:
        best = best_spans(logits.part(0, first, behind), max_answer_tokens, words[:, first:behind])
        return -float(best.score), first + int(best.start), first + int(best.end), first, behind

    # What is left are stretches between the spans taken; each waits with its best span.
    stretches = [best_within(0, logits.start.shape[1])]
    while stretches:
        cost, start, end, first, behind = heappop(stretches)
        if cost == torch.inf:
            return
        yield start, end, -cost
        taken_first, taken_last = held(start, end)
        for stretch in ((first, taken_first), (taken_last + 1, behind)):
            if stretch[0] < stretch[1]:
                heappush(stretches, best_within(*stretch))


def without_repetition(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Answers of which those that stand there before are padding: people often agree, and a span is as likely once."""
    if starts.shape != ends.shape:
        return starts, ends
    same = (starts[:, :, None] == starts[:, None]) & (ends[:, :, None] == ends[:, None])
    again = same.tril(-1).any(2)
    return starts.masked_fill(again, PADDING), ends.masked_fill(again, PADDING)


def _check_spans(starts: Tensor, ends: Tensor, valid: Tensor) -> None:
    if starts.shape != ends.shape or len(starts) != len(valid):
        raise ValueError(
            f"start_positions {tuple(starts.shape)} and end_positions {tuple(ends.shape)} must be alike, "
            f"one row for each of {len(valid)} questions"
        )
    marks = (starts < 0) | (ends < 0)
    tokens = valid.shape[1]
    inside = (starts >= 0) & (ends < tokens) & (starts <= ends)
    if tokens:
        inside &= valid.gather(1, starts.clamp(0, tokens - 1)) & valid.gather(1, ends.clamp(0, tokens - 1))
    known = (starts == ends) & ((starts == NO_ANSWER) | (starts == PADDING))
    wrong = torch.where(marks, ~known, ~inside)
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"answer {column} of question {row} spans the tokens {int(starts[row, column])} to "
            f"{int(ends[row, column])}, but its document has {int(valid[row].sum())}; give the first and last token of "
            f"an answer, both {NO_ANSWER} for no answer, both {PADDING} to fill the list"
        )
    targets = (starts != PADDING).any(1)
    if not bool(targets.all()):
        raise ValueError(f"question {int((~targets).nonzero()[0, 0])} has neither an answer nor {NO_ANSWER} for none")
