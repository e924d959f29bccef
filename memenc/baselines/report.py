"""A trained model beside the baselines, and one honest sentence on whether its memory was worth it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from memenc.baselines import BASELINES, WITHOUT_MEMORY
from memenc.baselines.plain import on_plain_backbone
from memenc.training.metrics import accuracy_error, f1


@dataclass(frozen=True)
class Row:
    """One model's result.

    Args:
        name: of the model.
        accuracy: share of right answers.
        error: standard error of the accuracy, see `accuracy_error`.
        macro_f1: mean F1 over classes.
        training_seconds: wall time of its fit, of the classifier itself that of its training; None if unknown.
        right: (documents,) which answers were right.
    """

    name: str
    accuracy: float
    error: float
    macro_f1: float
    training_seconds: float | None
    right: np.ndarray

    @classmethod
    def of(cls, name: str, truth: np.ndarray, predicted: np.ndarray, seconds: float | None) -> Row:
        """Score one model's predictions."""
        right = np.asarray(truth) == np.asarray(predicted)
        accuracy = float(right.mean())
        error = accuracy_error(int(right.sum()), len(right))
        macro = f1(np.asarray(truth), np.asarray(predicted), "macro")
        return cls(name, accuracy, error, macro, seconds, right)


@dataclass(frozen=True)
class BaselineReport:
    """Results on the same documents, ours first, and the verdict in words."""

    rows: list[Row]
    verdict: str

    def __str__(self) -> str:
        lines = [f"{'model':28} {'accuracy':>18} {'macro F1':>9} {'training':>10}"]
        for row in self.rows:
            seconds = "-" if row.training_seconds is None else f"{row.training_seconds:,.0f} s"
            lines.append(f"{row.name:28} {row.accuracy:9.3f} +- {row.error:5.3f} {row.macro_f1:9.3f} {seconds:>10}")
        return "\n".join([*lines, self.verdict])


def compare_with_baselines(
    classifier: Any,
    texts: Sequence[str],
    labels: Sequence[Any],
    training: tuple[Sequence[str], Sequence[Any]] | None,
    names: Sequence[str] | None = None,
) -> BaselineReport:
    """Fit the baselines on what `classifier` was fitted on, and score all on these documents.

    Args:
        classifier: a fitted LongDocumentClassifier.
        texts: documents it was not trained on.
        labels: their labels.
        training: texts and labels that it was fitted on, None if nobody knows them.
        names: of baselines; None means all. One without memory is left out for a classifier that has none itself.

    Raises:
        ValueError: no or an unknown baseline, or no training documents.
    """
    names = list(BASELINES) if names is None else list(names)
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise ValueError(f"unknown baseline {', '.join(unknown)}; available: {', '.join(BASELINES)}")
    if classifier.memory == "none":
        # It is that itself.
        names = [name for name in names if name != WITHOUT_MEMORY]
    if not names:
        others = [name for name in BASELINES if classifier.memory != "none" or name != WITHOUT_MEMORY]
        raise ValueError(f"there is nothing to compare with; give baselines, some of {', '.join(others)}, or None")
    if training is None:
        raise ValueError(
            "report needs the training documents, which a loaded or unpickled classifier does not hold; give them as "
            "training=(texts, labels), or fit it again"
        )
    truth, cost = np.asarray(labels), getattr(classifier, "cost_", None)
    seconds = None if cost is None else cost.seconds
    rows = [Row.of(f"memenc ({classifier.memory})", truth, classifier.predict(texts), seconds)]
    with on_plain_backbone(classifier) as like:
        for name in names:
            started = time.monotonic()
            baseline = BASELINES[name](like).fit(*training)
            rows.append(Row.of(name, truth, baseline.predict(texts), time.monotonic() - started))
    # Only beside the same model without it can a memory be what made the difference.
    plain = [row for row in rows[1:] if row.name == WITHOUT_MEMORY]
    others = [row for row in rows[1:] if row.name != WITHOUT_MEMORY]
    said = [verdict([rows[0], *plain], "Memory")] if plain else []
    said += [verdict([rows[0], *others], "This model")] if others else []
    return BaselineReport(rows, " ".join(said))


def verdict(rows: Sequence[Row], subject: str = "Memory") -> str:
    """Whether the first row beats the best of the others, by an exact sign test on the documents where they differ."""
    if len(rows) < 2:
        return "Nothing to compare with."
    ours, best = rows[0], max(rows[1:], key=lambda row: row.accuracy)
    wins, losses = int((ours.right & ~best.right).sum()), int((best.right & ~ours.right).sum())
    chance = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    difference = 100 * (ours.accuracy - best.accuracy)
    numbers = (
        f"{difference:+.1f} points against {best.name}, right where it was wrong {wins} times and wrong where it was "
        f"right {losses} times, p = {chance:.2g}"
    )
    if chance >= 0.05:
        return f"{subject} made no difference that these {len(ours.right)} documents can show: {numbers}."
    if difference > 0:
        return f"{subject} was worth it on this data: {numbers}."
    return f"{subject} was not worth it on this data, {best.name} is better: {numbers}."
