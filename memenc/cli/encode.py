"""`memenc encode`: one context vector per document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
import typer
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.cli import console, options
from memenc.cli.classifier import chunks_of, load_whole
from memenc.cli.corpus import texts_of
from memenc.cli.spread import spread
from memenc.config import MemencConfig
from memenc.model import MemencModel

CHARACTERS_PER_PIECE = 65_536


@dataclass(frozen=True)
class Vectors:
    """Context vectors of some documents.

    Args:
        ids: one per document: its column "id", or its line.
        rows: float32, (documents, hidden).
    """

    ids: list[str]
    rows: np.ndarray


@spread
def encode(
    documents: Annotated[options.DocumentOptions, options.DATA],
    new: Annotated[options.ModelOptions, "Where --model is a plain encoder"],
    model: Annotated[str, typer.Option(help="Folder of a memenc model, or name or folder of a plain encoder.")],
    output: Annotated[Path, typer.Option(help="Where to write the vectors: .npz, .parquet or .jsonl.")],
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Turn every document into one vector; --data - reads ONE document of any length from standard input."""
    if output.suffix not in WRITERS:
        raise ValueError(f"--output {output}: the name must end in {', '.join(WRITERS)}")
    set_seed(seed)
    encoder = loaded_model(model, new).eval()
    encoder.to(options.chosen_device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
    tokenizer = AutoTokenizer.from_pretrained(model)
    from_input = documents.data == "-"
    vectors = from_standard_input(encoder, tokenizer) if from_input else from_records(encoder, tokenizer, documents)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    WRITERS[output.suffix](partial, vectors, encoder.config.hidden_size)
    partial.replace(output)


def loaded_model(name: str, new: options.ModelOptions) -> MemencModel:
    """A memenc model, or a plain encoder with a memory that was never trained.

    Raises:
        ValueError: a memory was asked for, but the model has one.
    """
    if isinstance(AutoConfig.from_pretrained(name), MemencConfig):
        if new != options.ModelOptions():
            raise ValueError(f"{name} is a memenc model with a memory of its own; leave out --memory and its like")
        return load_whole(MemencModel, name)
    console.note(f"{name} is a plain encoder: its {new.memory} memory is new and untrained", style="yellow")
    return MemencModel.from_backbone(name, new.memory, new.memory_options, **new.model_options)


def from_standard_input(encoder: MemencModel, tokenizer: PreTrainedTokenizerBase) -> Iterator[Vectors]:
    """One document, read in a stream."""
    pieces = iter(lambda: sys.stdin.read(CHARACTERS_PER_PIECE), "")
    yield Vectors(["-"], as_array(encoder.encode(pieces, tokenizer)))


def from_records(
    encoder: MemencModel, tokenizer: PreTrainedTokenizerBase, documents: options.DocumentOptions
) -> Iterator[Vectors]:
    """The documents of a file, a chunk at a time."""
    reader = documents.records()
    with console.document_progress() as progress:
        task = progress.add_task("reading", total=None)
        for chunk in chunks_of(reader):
            rows = as_array(encoder.encode(texts_of(chunk), tokenizer))
            yield Vectors([str(record.line) if record.id is None else record.id for record in chunk], rows)
            progress.advance(task, len(chunk))
    console.note_problems(reader.problems)


def as_array(rows: torch.Tensor) -> np.ndarray:
    """Rows as numpy and its formats hold them."""
    return rows.float().cpu().numpy()


def write_npz(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """Arrays `ids` and `vectors` in one file."""
    found = list(vectors)
    rows = np.concatenate([np.zeros((0, hidden), np.float32), *(part.rows for part in found)])
    with path.open("wb") as file:
        np.savez(file, ids=np.array([name for part in found for name in part.ids], dtype=str), vectors=rows)


def write_parquet(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """Columns `id` and `vector`, one row group per chunk."""
    # large_string: a column of more than two gigabytes overflows the other.
    schema = pyarrow.schema({"id": pyarrow.large_string(), "vector": pyarrow.list_(pyarrow.float32(), hidden)})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in vectors:
            flat = pyarrow.array(part.rows.reshape(-1), pyarrow.float32())
            column = pyarrow.FixedSizeListArray.from_arrays(flat, hidden)
            writer.write_table(pyarrow.table({"id": part.ids, "vector": column}, schema=schema))


def write_jsonl(path: Path, vectors: Iterator[Vectors], hidden: int) -> None:
    """One object with `id` and `vector` per line."""
    with path.open("w", encoding="utf-8") as file:
        for part in vectors:
            for name, row in zip(part.ids, part.rows.tolist(), strict=True):
                file.write(json.dumps({"id": name, "vector": row}) + "\n")


WRITERS: dict[str, Callable[[Path, Iterator[Vectors], int], None]] = {
    ".npz": write_npz,
    ".parquet": write_parquet,
    ".jsonl": write_jsonl,
}
