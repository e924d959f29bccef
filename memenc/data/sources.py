"""Read rows out of files and datasets one at a time, each with its line number, or what is wrong with it."""

from __future__ import annotations

import csv
import glob
import gzip
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datasets

# (line, the columns of one record or what is wrong with it); the first line or row is 1.
Row = tuple[int, dict[str, Any] | str]


@dataclass
class Reach:
    """How far a loop over a source has come.

    Args:
        done: rows, or bytes of a text file.
        total: all of them, None where nobody knows without reading.
    """

    done: int = 0
    total: int | None = None

    @property
    def share(self) -> float | None:
        """What is done of all, from 0 to 1."""
        # A file may grow while it is read.
        return min(1.0, self.done / self.total) if self.total else None


LONGEST_FIELD = 2**31 - 1  # characters; csv itself stops at 131,072, less than many documents have
# What a file of which a comma makes one column may have between its columns.
LIKELY_DELIMITERS = (";", "\t")
# They say that a folder was saved by datasets.
OF_DATASETS = ("dataset_info.json", "dataset_dict.json", "state.json")
STANDARD_INPUT = "-"
PARQUET_ROWS = 16  # decoded at a time, or fewer where they are large:
PARQUET_BYTES = 64_000_000
PARQUET_BUFFER = 1_000_000  # bytes of a column read from the file at a time; without it, all of a row group
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_rows(path: Path, reach: Reach) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file; blank lines are passed over."""
    return json_objects(byte_lines(path, reach))


def standard_input_rows(path: Path, reach: Reach) -> Iterator[Row]:
    """Yield the rows of JSON Lines as they arrive, which can be done once."""
    return json_objects(enumerate(sys.stdin.buffer, start=1))


def json_objects(lines: Iterable[tuple[int, bytes]]) -> Iterator[Row]:
    """Yield the rows of numbered lines."""
    return ((number, parse_json_object(line)) for number, line in lines if line.strip())


def parse_json_object(line: bytes) -> dict[str, Any] | str:
    """Return one JSON object, or what is wrong with the line."""
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"invalid UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
    except (ValueError, RecursionError) as error:
        hint = "; a JSON array must become JSON Lines, one object per line" if line.lstrip()[:1] == b"[" else ""
        return f"broken JSON: {error}{hint}"
    if not isinstance(value, dict):
        return f"expected a JSON object with one column per key, found {type(value).__name__}"
    return value


def csv_rows(path: Path, reach: Reach, delimiter: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file whose first line names the columns, with this (None: a comma) between them.

    Raises:
        ValueError: the file is empty, or its first line cannot be read or seems to have another delimiter.
    """
    # Bytes that are no UTF-8 become lone surrogates, which UTF-8 itself never gives, and are found below.
    lines = (line.decode("utf-8", "surrogateescape") for _, line in byte_lines(path, reach))
    reader = csv.reader(lines, strict=True, delimiter=delimiter or ",")
    header = next_csv_row(reader)
    if not isinstance(header, list) or not header:
        raise ValueError(f"{path}, line 1: {header or 'no columns'}; the first line must name the columns")
    columns = named_fields(header, header)
    if isinstance(columns, str) or len(columns) != len(header):
        found = columns if isinstance(columns, str) else f"the columns {header} are not all different"
        raise ValueError(f"{path}, line 1: {found}; correct the first line")
    likely = next((each for each in LIKELY_DELIMITERS if len(header) == 1 and each in header[0]), None)
    if likely is not None and delimiter is None:
        raise ValueError(
            f"{path}, line 1: there is one column, {header[0]!r}; is the delimiter {likely!r}? Give it as delimiter "
            "(--delimiter), or a comma if it is none"
        )
    while True:
        line = reader.line_num + 1
        fields = next_csv_row(reader)
        if fields is None:
            return
        if not fields:
            continue
        row = fields if isinstance(fields, str) else named_fields(header, fields)
        if isinstance(row, str) and reader.line_num > line:
            lost = f"the record that starts here swallowed lines {line} to {reader.line_num:,}, which are lost"
            row = f"{row}; {lost}: close its quotes, and write quotes within a field twice"
        yield line, row


def next_csv_row(reader: Any) -> list[str] | str | None:
    """Return the next fields, what is wrong with them, or None at the end."""
    previous = csv.field_size_limit(LONGEST_FIELD)
    try:
        return next(reader, None)
    except csv.Error as error:
        return f"broken CSV: {error}"
    finally:
        csv.field_size_limit(previous)


def named_fields(header: list[str], fields: list[str]) -> dict[str, Any] | str:
    """Pair fields with their columns, or say what is wrong with them."""
    if len(fields) != len(header):
        return f"expected {len(header)} fields as in the first line, found {len(fields)}"
    for name, value in zip(header, fields, strict=True):
        damaged = next((character for character in value if "\ud800" <= character <= "\udfff"), None)
        if damaged is not None:
            return f"invalid UTF-8: byte 0x{ord(damaged) - 0xDC00:02x} in column {name!r}"
    return dict(zip(header, fields, strict=True))


def text_rows(path: Path, reach: Reach) -> Iterator[Row]:
    """Yield one row per file of plain text, called by its name."""
    files = text_files(path)
    folder = Path(os.path.commonpath([file.parent for file in files]))
    reach.total = sum(file.stat().st_size for file in files)
    for number, file in enumerate(files, start=1):
        content = file.read_bytes()
        reach.done += len(content)
        try:
            text = content.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
        except UnicodeDecodeError as error:
            yield number, f"{file.name}: invalid UTF-8: byte 0x{content[error.start]:02x} at byte {error.start + 1}"
            continue
        yield number, {"text": text, "id": file.relative_to(folder).as_posix()}


def text_files(source: str | os.PathLike[str]) -> list[Path]:
    """Files of one document each, in order: a .txt file, those in a folder of nobody else, or those of a pattern."""
    path = Path(source)
    if path.is_dir():
        theirs = any((path / name).is_file() for name in OF_DATASETS)
        return [] if theirs else sorted(file for file in path.iterdir() if file.suffix.lower() == ".txt")
    if path.suffix.lower() != ".txt":
        return []
    # Path.glob takes no pattern that begins at the root.
    found = glob.glob(os.fspath(source), recursive=True)  # noqa: PTH207
    return [path] if path.is_file() else sorted(map(Path, found))


def parquet_rows(path: Path, reach: Reach) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        ValueError: not a Parquet file.
    """
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, buffer_size=PARQUET_BUFFER)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error
    reach.total = file.metadata.num_rows
    with file:
        for batch in parquet_batches(file):
            for index in range(batch.num_rows):
                reach.done += 1
                yield reach.done, parquet_row(batch.slice(index, 1))


def parquet_batches(file: Any) -> Iterator[Any]:
    """Yield the row groups of a Parquet file in batches of so many rows as their bytes allow."""
    for index in range(file.num_row_groups):
        group = file.metadata.row_group(index)
        if group.num_rows:
            rows = PARQUET_BYTES * group.num_rows // max(1, group.total_byte_size)
            yield from file.iter_batches(batch_size=min(PARQUET_ROWS, max(1, rows)), row_groups=[index])


def parquet_row(row: Any) -> dict[str, Any] | str:
    """Return a batch of one row as a dict, or what is wrong with it."""
    try:
        return row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return f"invalid UTF-8: {error}"
    except (ValueError, OverflowError, ArithmeticError):
        return {name: parquet_value(row.column(name)) for name in row.schema.names}


def parquet_value(column: Any) -> Any:
    """The one value of a column, or what is wrong with it where Python has no such value, as for dates behind 9999."""
    try:
        return column.to_pylist()[0]
    except (ValueError, OverflowError, ArithmeticError) as error:
        return Unreadable(str(error))


@dataclass(frozen=True)
class Unreadable:
    """A value that Python does not have; nobody may ask for it."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def dataset_rows(dataset: datasets.Dataset, reach: Reach) -> Iterator[Row]:
    """Yield the rows of a `datasets` dataset, numbered class labels replaced by their names, none by None."""
    import datasets

    classes = {
        name: each.names
        for name, kind in dataset.features.items()
        if isinstance(each := getattr(kind, "feature", kind), datasets.ClassLabel)
    }
    # Formats are for training loops: rows come as plain values, of all columns.
    reach.total = dataset.num_rows
    for number, row in enumerate(dataset.with_format(None), start=1):
        reach.done = number
        named = {column: names_of(row[column], names) for column, names in classes.items()}
        yield number, {**dict(row), **named}


def names_of(numbers: Any, names: Sequence[str]) -> Any:
    """The name of a class, or of every one of a list; none for none, which has the number -1."""
    if isinstance(numbers, list):
        return [names_of(number, names) for number in numbers]
    return names[numbers] if numbers is not None and numbers >= 0 else None


def byte_lines(path: Path, reach: Reach | None = None) -> Iterator[tuple[int, bytes]]:
    r"""Yield (line number, line), cut at \n only: texts may hold U+2028 and its like.

    Raises:
        ValueError: a damaged gzip file.
    """
    packed = path.suffix.lower() == ".gz"
    opener: Callable[..., Any] = gzip.open if packed else open
    number, reach = 0, reach or Reach()
    with opener(path, "rb") as file:
        reach.total = None if packed else os.fstat(file.fileno()).st_size
        try:
            for number, line in enumerate(file, start=1):
                reach.done += len(line)
                yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file, read up to line {number}: {error}") from error


ROWS_OF: dict[str, Callable[[Path, Reach], Iterator[Row]]] = {
    ".jsonl": json_rows,
    ".jsonl.gz": json_rows,
    ".json": json_rows,
    ".json.gz": json_rows,
    ".csv": csv_rows,
    ".csv.gz": csv_rows,
    ".tsv": partial(csv_rows, delimiter="\t"),
    ".tsv.gz": partial(csv_rows, delimiter="\t"),
    ".parquet": parquet_rows,
    ".txt": text_rows,
    STANDARD_INPUT: standard_input_rows,
}
