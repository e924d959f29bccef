"""The tables of a report, as text: what stands in them is the same in every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memenc.comparison.statistics import Score, effective_length, task_names

if TYPE_CHECKING:
    from memenc.comparison.run import Comparison


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: above it.
        columns: names; the first one is of text.
        rows: of text.
        note: how to read it.
        numbers: all columns but the first are of numbers.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    numbers: bool = True


def tables_of(comparison: Comparison) -> list[Table]:
    """Accuracy for each task and budget, then costs, then what was not run."""
    budgets = comparison.settings.budgets
    tables = [accuracy_table(comparison, task, budget) for task in task_names(comparison.scores) for budget in budgets]
    tables += [cost_table(comparison, budget) for budget in budgets]
    return [*tables, *not_run_table(comparison)]


def accuracy_table(comparison: Comparison, task: str, budget: int) -> Table:
    """One line per contender, one column per length, and the effective length."""
    scores, threshold = within(comparison.scores, task, budget), comparison.settings.testing.threshold
    lengths = sorted({score.segments for score in scores})
    tokens = {score.segments: score.tokens for score in scores if score.tokens}
    rows = []
    for name, line in lines_of(scores).items():
        found = {score.segments: score.text for score in line}
        cells = [found.get(segments, "not run") for segments in lengths]
        rows.append([name, seeds_text(line), *cells, effective_text(line, threshold)])
    columns = [f"{segments:,} segments ({tokens.get(segments, 0):,} tokens)" for segments in lengths]
    chance = next((score.chance for score in scores if score.chance), None)
    note = "" if chance is None else f"Mean accuracy ± standard error; guessing gives {chance:.2f}."
    title = f"{task}, memories of {budget:,} bytes"
    return Table(title, ["", "seeds", *columns, f"effective length (at least {threshold})"], rows, note)


def seeds_text(line: Sequence[Score]) -> str:
    """How many seeds stand behind a row's numbers: one number, or the fewest and the most."""
    counts = sorted({score.seeds for score in line if score.seeds})
    return "-" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def effective_text(line: Sequence[Score], threshold: float) -> str:
    """Longest length at or above the threshold, in segments."""
    if all(score.accuracy is None for score in line):
        return "not run"
    held = effective_length(line, threshold)
    return "never" if held is None else f"{held.segments:,}"


def cost_table(comparison: Comparison, budget: int) -> Table:
    """What contenders cost on the first task, at the longest length each was run."""
    task = comparison.settings.tasks[0].name
    rows = []
    for name, line in lines_of(within(comparison.scores, task, budget)).items():
        run = [score for score in line if score.accuracy is not None]
        longest = max(run, key=lambda score: score.segments, default=None)
        rows.append([name, *(["not run"] * 6 if longest is None else cost_cells(longest))])
    columns = [
        "",
        "state bytes per document",
        "operations per token",
        "tokens/s",
        "peak bytes, one document",
        "parameters",
        "at segments",
    ]
    note = (
        f"On {task}. Operations (FLOPs) are those of matrix products per token of the longest training documents; "
        "tokens/s is measured while testing: by workers on one thread each, beside other cells, else on all threads or "
        "the GPU; truncation counts what it skips; "
        "the peak is that of all tensors but weights while one document, at most its first 4,096 "
        "segments, is read in pieces."
    )
    return Table(f"Cost, memories of {budget:,} bytes", columns, rows, note)


def cost_cells(score: Score) -> list[str]:
    """Costs of a row as text."""
    names = ("state_bytes", "flops_per_token", "tokens_per_second", "peak_bytes", "parameters")
    values = [score.costs.get(name) for name in names]
    return [*("not counted" if value is None else f"{value:,.0f}" for value in values), f"{score.segments:,}"]


def not_run_table(comparison: Comparison) -> list[Table]:
    """Reasons for every missing number."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for score in comparison.scores:
        if score.not_run:
            at = f"{score.task} at {score.segments:,}" + ("" if score.budget is None else f" ({score.budget:,} bytes)")
            reasons.setdefault((score.contender, score.not_run), []).append(at)
    rows = [[name, reason, "; ".join(places)] for (name, reason), places in reasons.items()]
    return [Table("Not run", ["", "reason", "where (task at segments)"], rows, numbers=False)] if rows else []


def within(scores: Sequence[Score], task: str, budget: int) -> list[Score]:
    """Scores of one task under one budget, and of contenders without one."""
    return [score for score in scores if score.task == task and score.budget in (None, budget)]


def lines_of(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores by contender, by length."""
    lines: dict[str, list[Score]] = {}
    for score in scores:
        lines.setdefault(score.contender, []).append(score)
    return {name: sorted(line, key=lambda score: score.segments) for name, line in lines.items()}
