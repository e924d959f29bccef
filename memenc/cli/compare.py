"""`memenc compare`: designs x tasks x lengths x seeds at equal bytes and training, with a recommendation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from memenc.cli import console
from memenc.cli.outputs import check_output_folder
from memenc.comparison import Comparison, ComparisonSettings, presets
from memenc.comparison import compare as run_comparison
from memenc.comparison.cells import Cell, cells_of
from memenc.comparison.store import CellStore


def compare(
    config: Annotated[str, typer.Option(help=f"A YAML file, or one of {', '.join(presets())}.")] = "smoke",
    output: Annotated[
        Path, typer.Option(help="Folder for cells, tables, plots and the report; finished cells in it are kept.")
    ] = Path("comparison"),
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of one thread each; 0: one cell after the other in this one.")
    ] = os.cpu_count() or 1,
    seed: Annotated[int, typer.Option(min=0, help="Added to every seed of the comparison.")] = 0,
    finished_only: Annotated[
        bool, typer.Option("--finished-only", help="Compute nothing; report what is finished so far.")
    ] = False,
    keep_weights: Annotated[
        bool,
        typer.Option(
            "--keep-weights/--drop-weights",
            help="Keep or drop the weights of finished cells; kept, a further test length costs no training.",
        ),
    ] = True,
) -> None:
    """Compare memory designs with each other and with simple baselines; stopped, the same command goes on.

    Exit code 1 if a cell failed; all others are finished all the same.
    """
    settings = ComparisonSettings.load(config)
    settings = replace(settings, seeds=tuple(seed + each for each in settings.seeds))
    check_output_folder(output)
    cells, store = cells_of(settings), CellStore(output)
    missing = [cell for cell in cells if store.finished(cell) is None]
    console.note(f"{len(cells):,} cells, {len(cells) - len(missing):,} of them finished before")
    with Watcher(missing).shown() as watcher:
        try:
            comparison = run_comparison(
                settings, output, workers, watcher, finished_only=finished_only, keep_weights=keep_weights
            )
        except KeyboardInterrupt:
            kept = sum(store.finished(cell) is not None for cell in cells)
            said = f"stopped; {kept:,} finished cells are kept and reported in {output}, the same command goes on"
            console.note(said, "yellow")
            raise
    show(comparison, output)


def show(comparison: Comparison, output: Path) -> None:
    """The recommendation, where everything is, and what failed."""
    for statement in comparison.statements:
        console.out().print(str(statement), highlight=False, markup=False, soft_wrap=True)
    console.note(f"in {output}: report.html, report.md, results.csv, results.json, plots")
    for title, error in comparison.failed:
        console.note(f"failed: {title}: {error}", style="bold red")
    if comparison.failed:
        raise typer.Exit(1)


# Between two lines in a file, where nothing moves.
SECONDS_BETWEEN_LINES = 60.0


class Watcher:
    """Shows how far a comparison is, and how long it will take.

    Args:
        missing: cells that are not finished yet.
    """

    def __init__(self, missing: Sequence[Cell]) -> None:
        self.shares = dict.fromkeys((cell.identity for cell in missing), 0.0)
        self.started = self.spoke = time.monotonic()
        columns = (TextColumn("comparing"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        columns = (*columns, TextColumn("{task.fields[left]}"))
        self.silent = not console.err().is_terminal
        self.progress = Progress(*columns, console=console.err(), transient=True, disable=self.silent)
        self.line = self.progress.add_task("comparing", total=len(missing), left="")

    @contextmanager
    def shown(self) -> Iterator[Watcher]:
        """While the comparison runs."""
        with self.progress:
            yield self

    @property
    def finished(self) -> int:
        """Cells that are done."""
        return sum(share >= 1.0 for share in self.shares.values())

    def __call__(self, cell: Cell, share: float) -> None:
        """Take note of a cell's share."""
        self.shares[cell.identity] = share
        self.progress.update(self.line, completed=sum(self.shares.values()), left=self.time_left())
        if share >= 1.0:
            self._say(f"{self.finished}/{len(self.shares)} {cell.title} {self.time_left()}")
        elif self.silent and time.monotonic() - self.spoke >= SECONDS_BETWEEN_LINES:
            self._say(f"{sum(self.shares.values()) / len(self.shares):.0%} {self.time_left()}")

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.progress.console.print(line.strip(), highlight=False, markup=False, soft_wrap=True)

    def time_left(self) -> str:
        """An estimate from what was done so far."""
        done, seconds = sum(self.shares.values()), time.monotonic() - self.started
        if not 0 < done < len(self.shares):
            return ""
        left = seconds / done * (len(self.shares) - done)
        return f"(about {left / 60:,.0f} min left)" if left >= 90 else f"(about {left:,.0f} s left)"
