"""Scores of answers to questions, as SQuAD 2 counts them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 if both are the same once normalised, else 0."""
    return float(normalised(answer) == normalised(gold))


def overlap_f1(answer: str, gold: str) -> float:
    """F1 of the words that both have; no words at all match no words at all."""
    said, right = normalised(answer).split(), normalised(gold).split()
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))


def answer_scores(answers: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 against the best of several right answers; apart for answerable questions and others.

    Source: the official evaluation of SQuAD 2.0 (Rajpurkar et al. 2018, arXiv:1806.03822); shares, not percent.

    Args:
        answers: one per question, empty for no answer.
        golds: right answers of every question, none where the document has no answer.
    """
    exact = np.array([best(exact_match, *pair) for pair in zip(answers, golds, strict=True)])
    f1 = np.array([best(overlap_f1, *pair) for pair in zip(answers, golds, strict=True)])
    answerable = np.array([bool(gold) for gold in golds])
    found = {"questions": len(answers), "exact_match": float(exact.mean()), "f1": float(f1.mean())}
    if not answerable.all():
        found["no_answer_accuracy"] = float(exact[~answerable].mean())
        if answerable.any():
            found["answerable_exact_match"] = float(exact[answerable].mean())
            found["answerable_f1"] = float(f1[answerable].mean())
    return found


def best(score, answer: str, golds: Sequence[str]) -> float:
    """The best score against any right answer; without any, the right answer is none."""
    return max(score(answer, gold) for gold in golds or ("",))
