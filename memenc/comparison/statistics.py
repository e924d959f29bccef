"""From rows of cells to scores with errors: one per task, contender, budget and length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import Any

from memenc.comparison.cells import Cell
from memenc.comparison.store import Outcome
from memenc.training.metrics import accuracy_error

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Score:
    """Result of all seeds at one length.

    Args:
        task: name.
        contender: name.
        kind: of the contender.
        budget: bytes of state it was given, or None.
        segments: of the documents.
        tokens: of the documents.
        seeds: that were run.
        accuracy: mean over seeds; None if not run.
        error: standard error of the mean, see `standard_error`.
        not_run: why there is no number.
        chance: accuracy of guessing.
        costs: state_bytes, peak_bytes, flops_per_token, tokens_per_second, parameters: medians over seeds.
    """

    task: str
    contender: str
    kind: str
    budget: int | None
    segments: int
    tokens: int | None
    seeds: int
    accuracy: float | None
    error: float
    not_run: str
    chance: float | None
    costs: Mapping[str, float | None]

    @property
    def text(self) -> str:
        """The number as tables show it."""
        return "not run" if self.accuracy is None else f"{self.accuracy:.2f} ± {self.error:.2f}"

    @property
    def named(self) -> str:
        """The whole row in a line, as evidence."""
        budget = "" if self.budget is None else f", {self.budget:,} bytes"
        return f"{self.contender}{budget}, {self.task}, {self.segments} segments: {self.text}"

    def alive(self) -> bool:
        """Above guessing by more than three standard errors."""
        return self.accuracy is not None and self.accuracy - 3 * self.error > (self.chance or 0.0)


NESTED = ("rows", "environment", "traceback")
COSTS = ("state_bytes", "peak_bytes", "flops_per_token", "tokens_per_second", "parameters")


def standard_error(right: Sequence[int], documents: Sequence[int]) -> float:
    """Standard error of a mean accuracy: over seeds, but never less than the documents alone allow.

    Between n seeds it is their standard deviation / sqrt(n). Documents allow `accuracy_error` of all of them.

    Args:
        right: right answers of each seed.
        documents: documents of each seed.
    """
    accuracies = [r / n for r, n in zip(right, documents, strict=True)]
    by_seeds = stdev(accuracies) / math.sqrt(len(accuracies)) if len(accuracies) > 1 else 0.0
    return max(accuracy_error(sum(right), sum(documents)), by_seeds)


def effective_length(scores: Iterable[Score], threshold: float) -> Score | None:
    """The longest length at or above a fixed accuracy, None if there is none.

    Source: RULER (Hsieh et al. 2024, arXiv:2404.06654), with a threshold of our own.
    """
    held = [score for score in scores if score.accuracy is not None and score.accuracy >= threshold]
    return max(held, key=lambda score: score.segments, default=None)


def records_of(outcomes: Mapping[str, Outcome], cells: Iterable[Cell]) -> Rows:
    """One flat row per cell and length, with a reason where there is no number."""
    records = []
    for cell in cells:
        outcome = outcomes.get(cell.identity) or Outcome("not run", {}, "not finished yet")
        facts = {name: value for name, value in outcome.facts.items() if name not in NESTED}
        environment = outcome.facts.get("environment") or {}
        rows: Rows = outcome.facts.get("rows") or [{"segments": segments} for segments in sorted(set(cell.lengths))]
        why = outcome.reason if outcome.status == "not run" else f"{outcome.status}: {outcome.reason}"
        for row in rows:
            reason = "" if "accuracy" in row else row.get("not_run") or why
            flat = {name: value for name, value in row.items() if name != "parts"}
            record = cell.key | {"identity": cell.identity} | flat | {"not_run": reason} | facts | environment
            records.append(record)
            # Tasks that were joined have rows of their own beside their mean.
            parts = row.get("parts") or {part.name: {"chance": part.chance} for part in cell.new_task().parts}
            records += [record | {"task": f"{cell.task.name}, {name}"} | part for name, part in parts.items()]
    return records


def task_names(scores: Iterable[Score]) -> list[str]:
    """Tasks in the order of the scores, the parts of a joint one behind it."""
    return list(dict.fromkeys(score.task for score in scores))


def scores_of(records: Rows) -> list[Score]:
    """Scores in the order of the records."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for record in records:
        key = tuple(record[name] for name in ("task", "contender", "kind", "budget", "segments"))
        groups.setdefault(key, []).append(record)
    return [_score(key, rows) for key, rows in groups.items()]


def _score(key: tuple[Any, ...], rows: Rows) -> Score:
    task, contender, kind, budget, segments = key
    run = [row for row in rows if row.get("accuracy") is not None]
    counts = [row["right"] for row in run], [row["documents"] for row in run]
    return Score(
        task=task,
        contender=contender,
        kind=kind,
        budget=budget,
        segments=segments,
        tokens=next((row["tokens"] for row in rows if row.get("tokens")), None),
        seeds=len(run),
        accuracy=mean(row["accuracy"] for row in run) if run else None,
        error=standard_error(*counts) if run else 0.0,
        not_run="" if run else rows[0]["not_run"],
        chance=next((row["chance"] for row in rows if row.get("chance")), None),
        costs={name: _median([row.get(name) for row in run]) for name in COSTS},
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
