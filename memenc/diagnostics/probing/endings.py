"""With labels: how much of a document's end a classifier needs to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memenc.diagnostics.probing.linear_probe import Score
from memenc.diagnostics.probing.reading import Told, silence
from memenc.tasks import MemencForSequenceClassification
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import predict_logits


@dataclass(frozen=True)
class Endings:
    """Accuracy of a classifier on labelled documents of which it reads the end.

    Args:
        documents: how many.
        segments: read of each, from its end; the last number is enough for all of the longest.
        scores: accuracy at each of them.
        guessing: share of the commonest label.
    """

    documents: int
    segments: tuple[int, ...]
    scores: tuple[Score, ...]
    guessing: float


def endings(
    model: MemencForSequenceClassification, documents: Sequence[np.ndarray], labels: Sequence[int], told: Told = silence
) -> Endings:
    """Read the last 1, 2, 4, ... segments of documents, and then all: if that is no better, nothing earlier is used.

    Args:
        model: a classifier with one label per document.
        documents: own tokens of each, (tokens,).
        labels: number of each document's label among the classifier's outputs.
        told: is called with how far it is.

    Raises:
        ValueError: no documents, or as many labels as there are not documents.
    """
    if not documents or len(documents) != len(labels):
        raise ValueError(f"{len(documents)} documents and {len(labels)} labels: give one label for each document")
    own = model.memenc.own_tokens_per_segment
    most = -(-max(len(ids) for ids in documents) // own)
    counts = [*(2**power for power in range(most.bit_length()) if 2**power < most), most]
    scores = []
    for count in counts:
        told(f"labelled documents: the last {count} of {most} segments")
        logits = predict_logits(model, TokenizedDocuments([ids[-count * own :] for ids in documents]))
        scores.append(Score.of(logits.argmax(1) == np.asarray(labels)))
    return Endings(len(documents), tuple(counts), tuple(scores), float(np.bincount(labels).max() / len(labels)))
