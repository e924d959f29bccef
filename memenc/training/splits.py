"""Which of the training documents choose the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from memenc.training.documents import TokenizedDocuments


def split_validation(
    documents: TokenizedDocuments, share: float, seed: int
) -> tuple[TokenizedDocuments, TokenizedDocuments | None]:
    """Training and validation documents, stratified where every class has two; none for validation below ten."""
    training, validation = split_places(len(documents), share, seed, documents.labels)
    return documents.subset(training), documents.subset(validation) if validation else None


def split_places(
    count: int, share: float, seed: int, classes: Sequence[Any] | None = None
) -> tuple[list[int], list[int]]:
    """Places of training and validation documents, as `split_validation` chooses them."""
    chosen = round(count * share)
    if chosen < 1 or count < 10:
        return list(range(count)), []
    labels = np.asarray(classes) if classes is not None else np.zeros(0)
    stratify = None
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        present, sizes = np.unique(labels, return_counts=True)
        stratify = labels if sizes.min() >= 2 and chosen >= len(present) else None
    training, validation = train_test_split(np.arange(count), test_size=chosen, random_state=seed, stratify=stratify)
    return list(training), list(validation)
