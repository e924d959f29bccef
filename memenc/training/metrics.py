"""Scores of predictions, by scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import metrics


def scores(problem_type: str, predictions: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1, micro and macro F1, or errors, by kind of problem.

    Args:
        problem_type: single_label_classification, multi_label_classification or regression.
        predictions: logits (documents, labels), or numbers (documents,).
        truth: class numbers (documents,), zeros and ones (documents, labels), or numbers.
    """
    if problem_type == "regression":
        predictions, truth = predictions.reshape(-1), truth.reshape(-1)
        return {
            "mean_squared_error": float(metrics.mean_squared_error(truth, predictions)),
            "r2": float(metrics.r2_score(truth, predictions)) if len(truth) > 1 else float("nan"),
        }
    if problem_type == "multi_label_classification":
        chosen = (predictions > 0).astype(int)
        return {
            "micro_f1": f1(truth, chosen, "micro"),
            "macro_f1": f1(truth, chosen, "macro"),
        }
    chosen = predictions.argmax(-1)
    return {
        "accuracy": float(metrics.accuracy_score(truth, chosen)),
        "macro_f1": f1(truth, chosen, "macro"),
    }


def f1(truth: np.ndarray, predicted: np.ndarray, average: str) -> float:
    """F1 averaged as scikit-learn names it; a class that was neither there nor predicted counts as 0."""
    options: Any = {"average": average, "zero_division": 0}
    return float(metrics.f1_score(truth, predicted, **options))


def accuracy_error(right: int, answers: int) -> float:
    """Standard error of the share of right answers: binomial, sqrt(p (1 - p) / answers).

    p is the share after one right and one wrong answer more (Laplace), so that a handful of perfect answers is no
    certainty.
    """
    share = (right + 1) / (answers + 2)
    return math.sqrt(share * (1 - share) / answers)


MAIN_SCORE = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "micro_f1",
    # As good for choosing as r2, and there for a single document too.
    "regression": "mean_squared_error",
}
