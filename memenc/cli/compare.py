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
from memenc.comparison.known import take_known
from memenc.comparison.store import CellStore
from memenc.progress import NowAndThen, TimeLeftColumn, left


def compare(
    config: Annotated[str, typer.Option(help=f"A YAML file, or one of {', '.join(presets())}.")] = "smoke",
    output: Annotated[
        Path, typer.Option(help="Folder for cells, tables, plots and the report; finished cells in it are kept.")
    ] = Path("comparison"),
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of one thread each; 0: one cell after the other in this one.")
    ] = os.cpu_count() or 1,
    known: Annotated[
        list[Path] | None,
        typer.Option(help="results.csv of a finished comparison, or its folder: its cells are taken over; repeatable."),
    ] = None,
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
    for table in known or ():
        taken = take_known(store, cells, [table])
        why = "" if taken else ": none that is missing here was measured there with these settings and this memenc"
        console.note(f"{taken:,} cells taken from {table}{why}", "yellow" if why else "")
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


class Watcher:
    """Shows how far a comparison is, and how long it will take.

    Args:
        missing: cells that are not finished yet.
    """

    def __init__(self, missing: Sequence[Cell]) -> None:
        self.shares = dict.fromkeys((cell.identity for cell in missing), 0.0)
        self.started = time.monotonic()
        columns = (TextColumn("comparing"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeLeftColumn())
        silent = not console.err().is_terminal
        self.progress = Progress(*columns, console=console.err(), transient=True, disable=silent)
        self.line = self.progress.add_task("comparing", total=len(missing), share=None, told=0.0)
        self.lines = NowAndThen(self.progress.console)

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
        done, seconds = sum(self.shares.values()), time.monotonic() - self.started
        whole = done / len(self.shares)
        self.progress.update(self.line, completed=done, share=whole, told=seconds)
        if share >= 1.0:
            self.lines.say(f"{self.finished}/{len(self.shares)} {cell.title}", left(whole, seconds, seconds))
        else:
            self.lines.tell(f"{whole:.0%}", left(whole, seconds, seconds))
