"""Read labelled texts from JSON Lines, CSV, Parquet or `datasets`, with every problem named by its line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from memenc.data.sources import ROWS_OF, STANDARD_INPUT, Reach, Row, Unreadable, csv_rows, dataset_rows, text_files
from memenc.storage.files import looks_like_path

if TYPE_CHECKING:
    import datasets

ID_COLUMN = "id"


@dataclass(frozen=True)
class Record:
    """One document of a source.

    Args:
        text: the document.
        label: whatever stands in the label column; None when no label column was asked for.
        id: the column "id" as a str, None when there is none.
        line: line of a text file at which the record starts, row of a table; the first is 1.
        rest: all other columns.
    """

    text: str
    label: Any = None
    id: str | None = None
    line: int = 0
    rest: dict[str, Any] = field(default_factory=dict)


class Understanding:
    """What a task makes of the columns: how a document is written in its column, and what else a record must have.

    Made anew for every loop over a source, so that it may remember what it saw, such as ids.
    """

    def text(self, value: Any) -> str:
        """The document in its column.

        Raises:
            ValueError: it is something else; the message goes on "column 'text' ".
        """
        if not isinstance(value, str):
            raise ValueError(f"must be text, found {type(value).__name__} {str(value)[:40]!r}")
        return value

    def check(self, record: Record) -> None:
        """Refuse a record that cannot be used with a ValueError that says why; its line is said beside it."""


class NamedApart(Understanding):
    """Documents whose ids cannot be taken for the lines by which those without an id are called."""

    def __init__(self) -> None:
        self.nameless = self.numbered = False

    def check(self, record: Record) -> None:
        """Refuse a number among lines, or a line among numbers."""
        self.nameless |= record.id is None
        self.numbered |= record.id is not None and record.id.isdecimal()
        if self.nameless and self.numbered and (record.id is None or record.id.isdecimal()):
            said = "the record has no id" if record.id is None else f"the id {record.id!r} may be another record's line"
            raise ValueError(f"{said}, and some ids are numbers while some are left out; give every record an id")


class RecordReader:
    """The records of one source; every loop over it reads the source again, one record at a time.

    `problems` lists, for the latest loop, the records that were skipped and why; `problem_lines` their lines;
    `share_read` is the share of the source that it has read, None where that is not known.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        text_column: str = "text",
        label_column: str | None = "label",
        split: str | None = None,
        on_bad_record: Literal["error", "skip"] = "error",
        understanding: Callable[[], Understanding] = Understanding,
        delimiter: str | None = None,
    ):
        if on_bad_record not in ("error", "skip"):
            raise ValueError(f"on_bad_record must be 'error' or 'skip', got {on_bad_record!r}")
        self.source = source
        self.text_column = text_column
        self.label_column = label_column
        self.split = split
        self.on_bad_record = on_bad_record
        self.understanding = understanding
        self.problems: list[str] = []
        self.problem_lines: list[int] = []
        self._kind = kind_of_source(source, split)
        self.delimiter = checked_delimiter(delimiter, self._kind)
        self._reach = Reach()

    @property
    def leaving_out(self) -> list[str] | None:
        """The list of problems, for those that show later; None where they are errors."""
        return self.problems if self.on_bad_record == "skip" else None

    @property
    def share_read(self) -> float | None:
        """From 0 to 1."""
        return self._reach.share

    def __iter__(self) -> Iterator[Record]:
        self.problems, self.problem_lines = [], []
        self._reach = Reach()
        any_good = False
        understanding = self.understanding()
        for line, row in self._rows():
            record = row if isinstance(row, str) else self._record(line, row, understanding)
            if isinstance(record, Record):
                any_good = True
                yield record
                continue
            problem = f"{self.source}, line {line}: {record}"
            if self.on_bad_record == "error":
                raise ValueError(f"{problem}. Correct it, or leave it out by on_bad_record='skip' (--on-bad-record)")
            self.problems.append(problem)
            self.problem_lines.append(line)
        if self.problems and not any_good:
            raise ValueError(f"not one of {len(self.problems):,} records can be used. {self.problems[0]}")

    def _rows(self) -> Iterator[Row]:
        if self.delimiter is not None:
            return csv_rows(Path(self.source), self._reach, self.delimiter)
        if self._kind in ROWS_OF:
            return ROWS_OF[self._kind](Path(self.source), self._reach)
        return dataset_rows(open_dataset(os.fspath(self.source), self.split), self._reach)

    def _record(self, line: int, row: dict[str, Any], understanding: Understanding) -> Record | str:
        """Return the record of one row, or what is wrong with it."""
        asked = [self.text_column] if self.label_column is None else [self.text_column, self.label_column]
        for column in asked:
            if column not in row:
                there = ", ".join(map(repr, row)) or "none"
                return f"column {column!r} is missing; the columns there are: {there}"
            if row[column] is None:
                return f"column {column!r} is null"
        try:
            text = understanding.text(row[self.text_column])
        except ValueError as error:
            return f"column {self.text_column!r} {error}"
        label = None if self.label_column is None else row[self.label_column]
        if isinstance(row.get(ID_COLUMN), Unreadable):
            return f"column {ID_COLUMN!r} cannot be read: {row[ID_COLUMN]}"
        name = None if row.get(ID_COLUMN) in (None, "") else str(row[ID_COLUMN])
        rest = {column: value for column, value in row.items() if column not in (*asked, ID_COLUMN)}
        record = Record(text, label, name, line, rest)
        try:
            understanding.check(record)
        except ValueError as error:
            return str(error)
        return record


def read_records(
    source: str | os.PathLike[str],
    *,
    text_column: str = "text",
    label_column: str | None = "label",
    split: str | None = None,
    on_bad_record: Literal["error", "skip"] = "error",
    understanding: Callable[[], Understanding] = Understanding,
    delimiter: str | None = None,
) -> RecordReader:
    """Read documents from a file, a folder saved by `datasets` or a `datasets` name: loop over the result.

    Args:
        source: .jsonl, .json (one object per line), .csv, .tsv, each also .gz; .parquet; a folder; a hub name; .txt, a
            pattern such as docs/*.txt, or a folder of such files, of one document each; - for JSON Lines from standard
            input, which can be looped over once.
        text_column: column of the documents.
        label_column: column of the labels, None for unlabelled documents.
        split: which part of a folder or hub dataset, such as "train".
        on_bad_record: "error" raises at the first bad record, "skip" lists it in `.problems` and goes on.
        understanding: makes what a task expects of the columns.
        delimiter: between the columns of .csv and .tsv; None is a comma and a tab.

    Raises:
        ValueError: no such file, unknown kind of file; in the loop, a bad record: file, line, what was found.
    """
    return RecordReader(
        source,
        text_column=text_column,
        label_column=label_column,
        split=split,
        on_bad_record=on_bad_record,
        understanding=understanding,
        delimiter=delimiter,
    )


def batches_of(records: Iterable[Record], documents: int, characters: int) -> Iterator[list[Record]]:
    """Records in lists that can be held at a time.

    Args:
        records: in the order in which they come.
        documents: of a list at most.
        characters: a list ends when it has so many.
    """
    batch: list[Record] = []
    held = 0
    for record in records:
        batch.append(record)
        held += len(record.text)
        if len(batch) >= documents or held >= characters:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def kind_of_source(source: str | os.PathLike[str], split: str | None) -> str:
    """Return a file suffix or "dataset"; raise ValueError when the source is neither."""
    path = Path(source)
    suffixes = [kind for kind in ROWS_OF if kind != STANDARD_INPUT]
    suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
    one = STANDARD_INPUT if os.fspath(source) == STANDARD_INPUT else ".txt" if text_files(source) else None
    if one is not None:
        if split is not None:
            raise ValueError(f"split={split!r} chooses within a dataset, and {source} is none; leave it out")
        return one
    if path.is_file():
        if suffix is None:
            raise ValueError(f"{path}: unknown kind of file; memenc reads {', '.join(suffixes)}")
        if split is not None:
            raise ValueError(f"split={split!r} chooses within a dataset, but {path} is one file; leave it out")
        return suffix
    if not path.is_dir() and (suffix is not None or looks_like_path(source)):
        raise ValueError(f"{path}: there is no such file or folder (working directory: {Path.cwd()})")
    return "dataset"


def checked_delimiter(delimiter: str | None, kind: str) -> str | None:
    """A delimiter as it stands in files, which shells hardly write where it is a tab.

    Raises:
        ValueError: it is no single character, or the kind of source has none.
    """
    if delimiter is None:
        return None
    found = "\t" if delimiter in ("tab", "\\t") else delimiter
    if len(found) != 1:
        raise ValueError(f"delimiter={delimiter!r}: give one character, such as ';', or tab")
    if not kind.startswith((".csv", ".tsv")):
        raise ValueError(f"delimiter={delimiter!r} is for .csv and .tsv; leave it out")
    return found


def open_dataset(source: str, split: str | None) -> datasets.Dataset:
    """Return one split of a saved folder or hub dataset; raise ValueError when there is none."""
    # Imported where it is needed: it takes a second, and reading plain files does not.
    import datasets

    try:
        loaded = datasets.load_from_disk(source) if Path(source).is_dir() else datasets.load_dataset(source)
    except (FileNotFoundError, ConnectionError) as error:
        raise ValueError(
            f"{source!r} is no file, no folder saved by datasets and no dataset within reach: {error}"
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        name = next(iter(loaded)) if split is None and len(loaded) == 1 else split
        if name is None or name not in loaded:
            splits = ", ".join(map(str, loaded))
            raise ValueError(f"{source} has the splits {splits}; pass one as split=, got {split!r}")
        return loaded[name]
    if split is not None:
        raise ValueError(f"split={split!r} chooses within a dataset, but {source} has no splits; leave it out")
    return loaded
