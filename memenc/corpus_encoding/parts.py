"""Vectors of some documents as one Parquet file that says where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from memenc.storage.files import whole_file

IDENTITY, DOCUMENTS = b"memenc.identity", b"memenc.documents"


@dataclass(frozen=True)
class Origin:
    """What a part was made from.

    Args:
        identity: hash of model, data and settings.
        documents: hash over the documents in their order.
    """

    identity: str
    documents: str


def vector_schema(hidden: int) -> pyarrow.Schema:
    """Columns `id`, `vector` and `empty`: whether the document has no tokens."""
    vector = pyarrow.list_(pyarrow.float32(), hidden)
    # large_string: a column of more than two gigabytes overflows the other.
    return pyarrow.schema({"id": pyarrow.large_string(), "vector": vector, "empty": pyarrow.bool_()})


def vector_table(ids: Sequence[str], rows: np.ndarray, empty: np.ndarray) -> pyarrow.Table:
    """Ids, vectors (documents, hidden) and which documents are empty (documents,) as a table."""
    flat = pyarrow.array(rows.reshape(-1), pyarrow.float32())
    column = pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    return pyarrow.table({"id": ids, "vector": column, "empty": empty}, schema=vector_schema(rows.shape[1]))


def write_part(path: Path, ids: Sequence[str], rows: np.ndarray, empty: np.ndarray, origin: Origin) -> None:
    """Write a part; it appears whole or not at all."""
    facts = {IDENTITY: origin.identity, DOCUMENTS: origin.documents}
    with whole_file(path) as temporary:
        table = vector_table(ids, rows, empty).replace_schema_metadata(facts)
        # No value comes twice, so a dictionary would only cost.
        pyarrow.parquet.write_table(table, temporary, use_dictionary=False, write_page_checksum=True)


def origin_of(path: Path) -> Origin | None:
    """What a part was made from; None if there is none, or not a readable one."""
    try:
        table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
    except (OSError, pyarrow.ArrowException):
        return None
    facts = table.schema.metadata or {}
    if IDENTITY not in facts or DOCUMENTS not in facts:
        return None
    return Origin(facts[IDENTITY].decode(), facts[DOCUMENTS].decode())
