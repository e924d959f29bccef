"""Rows of measurements in a CSV file: appended as they are finished, skipped when they are there."""

from __future__ import annotations

import csv
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from memenc.storage.files import whole_file
from memenc.storage.results import append_rows, environment_columns

DEADLINE = "MEMENC_BENCHMARK_DEADLINE"


class NotRun(Exception):
    """A row that cannot be measured here, with the reason: nothing is broken."""


@dataclass(frozen=True)
class Job:
    """One row: the columns that name it, and what measures the others."""

    name: Mapping[str, Any]
    measure: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """A CSV file whose rows have a name (the key columns) and measured columns.

    Args:
        path: of the file.
        key: columns that name a row.
        measured: the other columns, in order; "note" is one of them.
        retry: whether rows without a measurement are dropped, to be tried again.
    """

    path: Path
    key: tuple[str, ...]
    measured: tuple[str, ...]
    retry: bool = False
    rows: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=environment_columns)

    def __post_init__(self) -> None:
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows.extend(csv.DictReader(file))
            if self.retry:
                self.rows[:] = [row for row in self.rows if not row["note"].startswith(("failed", "not run"))]
            # One header for all: other machines have other columns of versions.
            columns = dict.fromkeys(column for row in [*self.rows, self._columns()] for column in row)
            with whole_file(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, restval="")
                writer.writeheader()
                writer.writerows(self.rows)

    def has(self, name: Mapping[str, Any]) -> bool:
        return any(all(row[column] == str(name[column]) for column in self.key) for row in self.rows)

    def add(self, name: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, str]:
        cells = {**dict.fromkeys(self.measured, ""), **name, **measured, **self.facts}
        row = {column: str(value) for column, value in cells.items()}
        self.rows.append(row)
        self._write(row)
        return row

    def shown(self) -> list[dict[str, str]]:
        """Rows with a measurement, or that failed."""
        return [row for row in self.rows if not row["note"].startswith("not run")]

    def not_run(self) -> list[str]:
        """Reasons for which rows were not run, with how many."""
        reasons = Counter(row["note"] for row in self.rows if row["note"].startswith("not run"))
        return [f"{count} rows {reason}" for reason, count in reasons.items()]

    def _write(self, row: Mapping[str, str]) -> None:
        append_rows(self.path, [{column: row.get(column, "") for column in self._columns()}])

    def _columns(self) -> dict[str, None]:
        return dict.fromkeys((*self.key, *self.measured, *self.facts, *(self.rows[0] if self.rows else ())))


def deadline_in(budget_seconds: float) -> float:
    """When to stop, in seconds since the epoch; a process that starts again stops when the first would have."""
    return float(os.environ.get(DEADLINE, time.time() + budget_seconds))


def run(table: Table, jobs: Iterable[Job], deadline: float) -> int:
    """Measure what is missing until time is up; the number of rows that are left."""
    missing = [job for job in jobs if not table.has(job.name)]
    for done, job in enumerate(missing):
        if time.time() > deadline:
            return len(missing) - done
        started, broken = time.monotonic(), False
        try:
            measured = dict(job.measure())
        except (NotRun, NotImplementedError) as reason:
            measured = {"note": f"not run: {reason}"}
        except Exception as error:
            measured, broken = {"note": f"failed: {_short(error)}"}, _context_is_lost(error)
        row = table.add(job.name, measured)
        _print(row, table, time.monotonic() - started)
        if broken:
            _start_again(deadline)
        _free()
    return 0


def _print(row: Mapping[str, str], table: Table, seconds: float) -> None:
    name = " ".join(row.get(column, "") for column in table.key)
    median = f"{float(row['median_ms']):.3f} ms" if row.get("median_ms") else ""
    print(f"[{seconds:5.1f} s] {name}: {median} {row.get('note', '')}", file=sys.stderr, flush=True)


def _short(error: Exception) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:300]


def _context_is_lost(error: Exception) -> bool:
    """Whether nothing else can run on the GPU in this process."""
    return not isinstance(error, torch.OutOfMemoryError) and ("CUDA error" in str(error) or "HIP error" in str(error))


def _start_again(deadline: float) -> None:
    """This command in a fresh process; the row that broke is in the file, so it is not tried again."""
    print("the GPU's context is lost: starting again", file=sys.stderr, flush=True)
    os.environ[DEADLINE] = str(deadline)
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--retry"]
    os.execv(sys.executable, [sys.executable, *arguments])


def _free() -> None:
    if not torch.cuda.is_available():
        return
    gc.collect()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    torch.cuda.empty_cache()
