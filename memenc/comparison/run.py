"""Run a comparison: what is finished stays, what is missing is computed, and the report is written anew."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from memenc.comparison.cells import Cell, cells_of
from memenc.comparison.known import take_known
from memenc.comparison.measure import measure
from memenc.comparison.recommendation import Statement, recommend
from memenc.comparison.report import write_report
from memenc.comparison.settings import ComparisonSettings
from memenc.comparison.statistics import Score, records_of, scores_of
from memenc.comparison.store import CellStore, Outcome
from memenc.comparison.weights import WeightStore
from memenc.comparison.workers import Watch, Work, run_beside, run_here


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Args:
        settings: what was compared.
        records: one row per cell and length, as in results.csv.
        scores: the same with seeds taken together.
        statements: the recommendation, each sentence with the rows that support it.
        failed: (cell, error) of what went wrong.
    """

    settings: ComparisonSettings
    records: list[dict[str, Any]]
    scores: list[Score]
    statements: list[Statement]
    failed: list[tuple[str, str]]

    def __repr__(self) -> str:
        counts = ("records", "scores", "statements", "failed")
        return f"Comparison({', '.join(f'{len(getattr(self, name))} {name}' for name in counts)})"


def compare(
    settings: ComparisonSettings | Mapping[str, Any] | str | Path,
    output: str | Path,
    workers: int = 0,
    watch: Watch | None = None,
    work: Work | None = None,
    finished_only: bool = False,
    keep_weights: bool = True,
    known: Sequence[str | Path] = (),
) -> Comparison:
    """Train and test every contender on every task, and write tables, plots and a recommendation.

    Whatever stops it, the report of what is finished is written.

    Args:
        settings: of the comparison: name of a preset, path of a YAML file, or values.
        output: folder; finished cells in it are kept and not computed again.
        workers: processes of one thread each; 0 computes one cell after the other in this process.
        watch: is told how far each cell is that was not finished before, as (cell, share).
        work: measures a cell; None trains and tests it.
        finished_only: compute nothing, and report what is finished.
        keep_weights: of finished cells, too, so that further test lengths cost no training; False keeps those alone
            that are not tested yet.
        known: tables of finished comparisons (`results.csv`, or the folder it lies in): cells in them are taken over
            and not computed again, see :func:`memenc.comparison.known.take_known`.

    Raises:
        FileNotFoundError: a table is not there.
        ValueError: settings or tables that do not fit.
    """
    if isinstance(settings, str | Path):
        settings = ComparisonSettings.load(settings)
    elif not isinstance(settings, ComparisonSettings):
        settings = ComparisonSettings.of(settings)
    folder, cells = Path(output), cells_of(settings)
    store, weights = CellStore(folder), WeightStore(folder)
    take_known(store, cells, known)
    kept = {cell.identity: store.finished(cell) for cell in cells}
    outcomes = {identity: outcome for identity, outcome in kept.items() if outcome is not None}
    missing = [] if finished_only else [cell for cell in cells if cell.identity not in outcomes]
    for cell in cells:
        if cell.identity in outcomes and not keep_weights:
            weights.drop(cell)
    try:
        for cell, outcome in run(missing, store, workers, watch or _nobody, work or partial(measure, weights=weights)):
            outcomes[cell.identity] = outcome
            if outcome.status == "done" and not keep_weights:
                weights.drop(cell)
    except BaseException:
        # What stopped it is what must be said, whatever becomes of the report.
        with suppress(Exception):
            write_report(folder, summed_up(settings, cells, outcomes))
        raise
    comparison = summed_up(settings, cells, outcomes)
    write_report(folder, comparison)
    return comparison


def run(
    missing: list[Cell], store: CellStore, workers: int, watch: Watch, work: Work
) -> Iterator[tuple[Cell, Outcome]]:
    """Every cell with what became of it, kept as soon as it is there."""
    computed: Generator[tuple[Cell, Outcome], None, None] = (
        run_beside(missing, work, workers, watch) if workers else run_here(missing, work, watch)
    )
    with closing(computed):
        for cell, outcome in computed:
            store.keep(cell, outcome)
            watch(cell, 1.0)
            yield cell, outcome


def summed_up(settings: ComparisonSettings, cells: list[Cell], outcomes: Mapping[str, Outcome]) -> Comparison:
    """Scores and recommendation."""
    records = records_of(outcomes, cells)
    scores = scores_of(records)
    failed = [
        (cell.title, outcomes[cell.identity].reason)
        for cell in cells
        if cell.identity in outcomes and outcomes[cell.identity].status == "failed"
    ]
    return Comparison(settings, records, scores, recommend(scores, settings), failed)


def _nobody(cell: Cell, share: float) -> None:
    """Nobody watches."""
