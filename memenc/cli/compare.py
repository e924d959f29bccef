"""`memenc compare`: designs x tasks x lengths x seeds at equal bytes and training, with a recommendation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from memenc.cli import console
from memenc.comparison import Comparison, ComparisonSettings, presets
from memenc.comparison import compare as run_comparison
from memenc.comparison.cells import Cell, cells_of


def compare(
    config: Annotated[str, typer.Option(help=f"A YAML file, or one of {', '.join(presets())}.")] = "smoke",
    output: Annotated[
        Path, typer.Option(help="Folder for cells, tables, plots and the report; finished cells in it are kept.")
    ] = Path("comparison"),
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of one thread each; 0: one cell after the other in this one.")
    ] = os.cpu_count() or 1,
    seed: Annotated[int, typer.Option(min=0, help="Added to every seed of the comparison.")] = 0,
) -> None:
    """Compare memory designs with each other and with simple baselines; stopped, the same command goes on.

    Exit code 1 if a cell failed; all others are finished all the same.
    """
    settings = ComparisonSettings.load(config)
    settings = replace(settings, seeds=tuple(seed + each for each in settings.seeds))
    cells = cells_of(settings)
    with Watcher(cells).shown() as watcher:
        try:
            comparison = run_comparison(settings, output, workers, watcher)
        except KeyboardInterrupt:
            console.note(
                f"stopped; {watcher.finished} of {len(cells)} cells are kept, the same command goes on", "yellow"
            )
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


class Watcher:
    """Shows how far a comparison is, and how long it will take.

    Args:
        cells: of the comparison.
    """

    def __init__(self, cells: list[Cell]) -> None:
        self.shares = dict.fromkeys((cell.identity for cell in cells), 0.0)
        self.started = time.monotonic()
        # Cells that were there before say nothing about speed.
        self.kept, self.at_work = 0.0, False
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        terminal = console.err().is_terminal
        self.progress = Progress(
            *columns, TextColumn("{task.fields[left]}"), console=console.err(), transient=True, disable=not terminal
        )
        self.line = self.progress.add_task("comparing", total=len(cells), left="")

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
        before = self.shares[cell.identity]
        self.shares[cell.identity] = share
        if share >= 1.0 and before == 0.0 and not self.at_work:
            self.kept += 1
            self.started = time.monotonic()
        else:
            self.at_work = True
        self.progress.update(self.line, completed=sum(self.shares.values()), left=self.time_left())
        if share >= 1.0 and self.at_work and self.progress.disable:
            console.note(f"{self.finished}/{len(self.shares)} {cell.title}; {self.time_left()}")

    def time_left(self) -> str:
        """An estimate from the shares that were done since the start."""
        done = sum(self.shares.values())
        seconds = time.monotonic() - self.started
        if done <= self.kept or done >= len(self.shares):
            return ""
        left = seconds / (done - self.kept) * (len(self.shares) - done)
        return f"about {left / 60:,.0f} min left" if left >= 90 else f"about {left:,.0f} s left"
