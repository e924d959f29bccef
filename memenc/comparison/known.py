"""Cells that others measured: taken from a table of results, so that a published comparison can be gone on with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memenc.comparison.cells import Cell
from memenc.comparison.store import CellStore, Outcome
from memenc.storage.results import environment_columns, read_rows

NAMES = {"task", "contender", "kind", "budget", "seed", "identity"}
NEEDED = ("identity", "task", "segments", "not_run")
# What differs between the tasks of a joint one.
OF_PARTS = ("documents", "right", "accuracy", "chance")


def take_known(store: CellStore, cells: Iterable[Cell], tables: Iterable[str | Path]) -> int:
    """Keep every cell that is not finished and stands in a table as finished here; how many were taken.

    A cell is known by its identity, a hash of all settings that determine its numbers and of memenc's version. What
    was not run there, and why, is asked for again, as is what failed.

    Args:
        store: of this comparison.
        cells: of this comparison.
        tables: `results.csv` of other comparisons, or the folders they lie in.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it is not one of results, or a number in it is none.
    """
    missing, taken = [cell for cell in cells if store.finished(cell) is None], 0
    for table in tables:
        known = rows_of(Path(table))
        found = [(cell, outcome_of(cell, known.get(cell.identity, []))) for cell in missing]
        missing = [cell for cell, outcome in found if outcome is None]
        for cell, outcome in found:
            if outcome is not None:
                store.keep(cell, outcome)
                taken += 1
    return taken


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of a table by identity of their cells, numbers as numbers."""
    path = path / "results.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no table of results {path}; give the results.csv of a comparison, or its folder")
    columns, lines = read_rows(path)
    if absent := [name for name in NEEDED if name not in columns]:
        raise ValueError(f"{path} is no table of `memenc compare`: it has no column {', '.join(absent)}")
    # What describes a machine is text, though some of it looks like a number.
    texts = {*NAMES, "not_run", "gpu", *environment_columns()}
    found: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            told = {name: value for name, value in line.items() if value}
            row: dict[str, Any] = {name: told[name] if name in texts else number_of(told[name]) for name in told}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        found.setdefault(line["identity"], []).append(row)
    return found


def number_of(text: str) -> int | float:
    """A whole number as one."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def outcome_of(cell: Cell, rows: list[dict[str, Any]]) -> Outcome | None:
    """What became of a cell, if its rows say that it was finished."""
    lines = {(row["task"], row["segments"]): row for row in rows}
    titles = {part.name: f"{cell.task.name}, {part.name}" for part in cell.new_task().parts}
    measured: list[dict[str, Any]] = []
    for segments in sorted(set(cell.lengths)):
        of_parts = {name: lines.get((title, segments)) for name, title in titles.items()}
        whole = lines.get((cell.task.name, segments))
        if whole is None or None in of_parts.values():
            return None
        row = {name: value for name, value in whole.items() if name not in NAMES}
        parts = {name: {key: line[key] for key in OF_PARTS if key in line} for name, line in of_parts.items() if line}
        measured.append(row | {"parts": parts} if parts else row)
    return Outcome("done", {"rows": measured}) if any("accuracy" in row for row in measured) else None
