"""Vectors of a whole corpus in one file: .npz, .parquet or .jsonl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from memenc.corpus_encoding.parts import vector_schema, vector_table
from memenc.data.records import Record
from memenc.data.tokens import clean_text
from memenc.storage.files import whole_file


@dataclass(frozen=True)
class Vectors:
    """Context vectors of some documents.

    Args:
        ids: one per document: its column "id", or its line.
        rows: float32, (documents, hidden).
        empty: bool, (documents,): whether a document has no tokens, so that its vector is that of a memory of nothing.
    """

    ids: list[str]
    rows: np.ndarray
    empty: np.ndarray


def name_of(record: Record) -> str:
    """The id of a record as UTF-8 can hold it, or its line."""
    return str(record.line) if record.id is None else clean_text(record.id)


def write_vectors(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """Write a file in the format that its suffix names; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        WRITERS[path.suffix](temporary, vectors, hidden)


def write_npz(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """Arrays `ids`, `vectors` and `empty` in one file."""
    found = list(vectors)
    names = np.array([name for part in found for name in part.ids], dtype=str)
    rows = np.concatenate([np.zeros((0, hidden), np.float32), *(part.rows for part in found)])
    empty = np.concatenate([np.zeros(0, bool), *(part.empty for part in found)])
    with path.open("wb") as file:
        np.savez(file, ids=names, vectors=rows, empty=empty)


def write_parquet(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """Columns `id`, `vector` and `empty`, one row group per chunk."""
    with pyarrow.parquet.ParquetWriter(path, vector_schema(hidden)) as writer:
        for part in vectors:
            writer.write_table(vector_table(part.ids, part.rows, part.empty))


def write_jsonl(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """One object with `id`, `vector` and `empty` per line."""
    with path.open("w", encoding="utf-8") as file:
        for part in vectors:
            for name, row, empty in zip(part.ids, part.rows.tolist(), part.empty.tolist(), strict=True):
                file.write(json.dumps({"id": name, "vector": row, "empty": empty}) + "\n")


WRITERS: dict[str, Callable[[Path, Iterator[Vectors], int], None]] = {
    ".npz": write_npz,
    ".parquet": write_parquet,
    ".jsonl": write_jsonl,
}
