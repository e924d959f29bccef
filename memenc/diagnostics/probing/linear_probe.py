"""What a linear reader finds in a state, cross-validated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from memenc.training.metrics import accuracy_error

FOLDS, INVERSE_REGULARISATION = 5, 10.0


@dataclass(frozen=True)
class Score:
    """An accuracy and its standard error.

    Args:
        mean: share of right answers.
        error: as `accuracy_error` has it: all right answers are not beyond doubt.
    """

    mean: float
    error: float

    @classmethod
    def of(cls, right: np.ndarray) -> Score:
        """From which answers were right, any shape."""
        return cls(float(right.mean()), accuracy_error(int(right.sum()), right.size))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.error:.2f}"


def probe_right(features: Tensor, labels: Sequence[int], seed: int = 0) -> np.ndarray:
    """Which labels a linear probe finds, (documents,) bool.

    Logistic regression on standardised features, each document predicted by a probe of the other four fifths (Alain
    and Bengio 2016, arXiv:1610.01644). It is a lower bound of what is there: a better reader may find more.

    Args:
        features: (documents, numbers).
        labels: class of each document.
        seed: of the folds.

    Raises:
        ValueError: a class has fewer documents than there are folds.
    """
    truth = np.asarray(labels)
    if np.unique(truth, return_counts=True)[1].min() < FOLDS:
        raise ValueError(f"a linear probe needs {FOLDS} documents of every class; give more documents")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=300)
        return cross_val_predict(regression, compact(features), truth, cv=folds) == truth


def compact(features: Tensor) -> np.ndarray:
    """Standardised features in as many numbers as there are documents at most.

    A rotation to the span of the documents changes nothing for a regression with a squared penalty; their mean square
    length becomes 1, so that one penalty fits parts of any size.
    """
    numbers = features.double().cpu().numpy()
    spread = numbers.std(0)
    moving = spread > 1e-9 * np.maximum(np.abs(numbers).max(0), 1e-300)
    if not moving.any():
        return np.zeros((len(numbers), 1))
    standard = (numbers[:, moving] - numbers[:, moving].mean(0)) / spread[moving]
    left, lengths, _ = np.linalg.svd(standard / np.sqrt(moving.sum()), full_matrices=False)
    return left * lengths
