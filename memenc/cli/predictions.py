"""What is said of documents as JSON lines, or as the rows of a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, final

from memenc.data.tokens import clean_text

TABLES = {".csv": ",", ".tsv": "\t"}
# Formats that somebody may hope for by a name.
OTHERS = (".parquet", ".npz", ".gz", ".zip", ".xlsx")


class Writer(Protocol):
    """Takes answers one by one."""

    def write(self, answer: dict[str, Any]) -> None:
        """Write one."""


def check_format(path: Path) -> None:
    """Refuse --output of a format that predictions are not written in.

    Raises:
        ValueError: it is.
    """
    if path.suffix.lower() in OTHERS:
        raise ValueError(f"--output {path}: predictions are JSON lines or tables; give a name in .jsonl, .csv or .tsv")


def writer_of(path: Path, file: IO[str]) -> Writer:
    """What writes answers in the format of a name: a table, or JSON lines."""
    delimiter = TABLES.get(path.suffix.lower())
    return JsonLines(file) if delimiter is None else Table(file, delimiter)


@final
class JsonLines:
    """One JSON object a line.

    Args:
        file: open to write text.
    """

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def write(self, answer: dict[str, Any]) -> None:
        """One line; half a surrogate pair, which no encoding has, stays the escape that it was read from."""
        line = json.dumps(answer, ensure_ascii=False)
        try:
            line.encode()
        except UnicodeEncodeError:
            line = json.dumps(answer)
        self.file.write(line + "\n")


@final
class Table:
    """A row per answer, its columns those of the first; a column for each share by name, lists as JSON.

    Args:
        file: open to write text.
        delimiter: between columns.
    """

    def __init__(self, file: IO[str], delimiter: str) -> None:
        self.file, self.delimiter = file, delimiter
        self.rows: csv.DictWriter[str] | None = None

    def write(self, answer: dict[str, Any]) -> None:
        """One row."""
        row = dict(cells(answer))
        if self.rows is None:
            self.rows = csv.DictWriter(self.file, list(row), delimiter=self.delimiter, lineterminator="\n")
            self.rows.writeheader()
        self.rows.writerow(row)


def cells(answer: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a row: what lies inside another value is called by both names."""
    for name, value in answer.items():
        if isinstance(value, dict):
            yield from cells(value, f"{before}{name}.")
        elif isinstance(value, list):
            yield before + name, json.dumps(value)
        else:
            yield before + name, clean_text(value) if isinstance(value, str) else value
