"""Tables that fill up: rows that are there are kept, so that a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from memenc.storage.results import append_rows, environment_columns, read_rows

Row = dict[str, Any]


def parser(doc: str | None, results: str) -> argparse.ArgumentParser:
    """The options that all of these benchmarks have.

    Args:
        doc: of the benchmark.
        results: name of its file in `benchmarks/results`.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--backbone", required=True, help="name or folder of a pre-trained encoder")
    made.add_argument("--seeds", default="0", help="several are divided by commas")
    made.add_argument("--bf16", action="store_true")
    made.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "results" / results)
    return made


def changed(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *names: str) -> str:
    """Settings without a column of their own that are not as usual, in words; nothing where all are."""
    found = {name: getattr(arguments, name) for name in names}
    return " ".join(f"{name}={value}" for name, value in found.items() if value != parser.get_default(name))


def cells(columns: Mapping[str, str], fixed: Mapping[str, Any]) -> list[Row]:
    """Every combination of what stands between commas, the last column changing fastest, and the same for all."""
    chosen = product(*(names.split(",") for names in columns.values()))
    return [{**dict(zip(columns, each, strict=True)), **fixed} for each in chosen]


def fill(output: Path, wanted: Iterable[Row], measure: Callable[[Row], list[Row]]) -> None:
    """Measure what has no row yet, and keep every row as soon as it is there.

    Args:
        output: CSV file.
        wanted: the columns that name a row, with their values.
        measure: gives one row or several of what is named, columns that name it among them.
    """
    facts = environment_columns()
    _, kept = read_rows(output)
    for cell in wanted:
        if any(all(_same(row.get(name), value) for name, value in cell.items()) for row in kept):
            continue
        for row in measure(cell):
            print(row, flush=True)
            append_rows(output, [row | facts])


def _same(kept: str | None, value: Any) -> bool:
    """Whether a cell of a file is this value: 4 is 4.0, and nothing is what it was before there was such a setting."""
    if not kept and not value:
        return True
    if isinstance(value, int | float) and not isinstance(value, bool):
        return kept not in (None, "") and float(kept) == value
    return kept == str(value)
