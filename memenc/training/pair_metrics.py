"""Scores of pairs of embeddings: does similarity rank as people do, and does every document find its other half."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, cast

import numpy as np
from scipy.special import logsumexp
from scipy.stats import spearmanr

# Rows of the table of all cosines that are held at a time.
ROWS = 512


def similarity_scores(cosines: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Spearman correlation and mean squared error; numbers that are all the same correlate with nothing.

    Args:
        cosines: (pairs,) what the model says.
        wanted: (pairs,) similarities of the pairs.
    """
    varied = len(wanted) > 1 and np.ptp(cosines) > 0 and np.ptp(wanted) > 0
    found = float(cast(Any, spearmanr(cosines, wanted)).statistic) if varied else 0.0
    return {"pairs": len(wanted), "spearman": found, "mean_squared_error": float(np.mean((cosines - wanted) ** 2))}


def retrieval_scores(
    first: np.ndarray, second: np.ndarray, others: Sequence[Hashable], temperature: float
) -> dict[str, float]:
    """Accuracy at 1 and mean reciprocal rank of every first document's other one, and the loss, among all pairs.

    Other documents of the same text are the same document. One that is just as similar counts as before the right one.

    Args:
        first: (pairs, hidden) embeddings of length 1.
        second: (pairs, hidden) like it.
        others: (pairs,) what second documents are known by.
        temperature: of the loss.
    """
    _, names = np.unique([hash(other) for other in others], return_inverse=True)
    ranks, losses = [], []
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        cosines = first[rows] @ second.T
        own = np.take_along_axis(cosines, np.arange(len(first))[rows, None], axis=1)
        ahead = (cosines >= own) & (names[rows, None] != names[None])
        ranks.append(1 + ahead.sum(1))
        losses.append(logsumexp(cosines / temperature, axis=1) - own[:, 0] / temperature)
    rank = np.concatenate(ranks)
    return {
        "pairs": len(rank),
        "loss": float(np.concatenate(losses).mean()),
        "accuracy_at_1": float((rank == 1).mean()),
        "mean_reciprocal_rank": float((1 / rank).mean()),
    }
