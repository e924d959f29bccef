"""`memenc encode`: one context vector per document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from transformers import AutoConfig

from memenc.cli import console, options
from memenc.cli.classifier import chunks_of
from memenc.cli.corpus import texts_of
from memenc.cli.spread import spread
from memenc.config import MemencConfig
from memenc.corpus_encoding import DocumentEncoder, NewMemory, Shard, ShardWork, folder_status
from memenc.corpus_encoding.vector_files import WRITERS, Vectors, write_vectors

CHARACTERS_PER_PIECE = 65_536


@dataclass(frozen=True)
class ShardOptions:
    """Which share of a corpus to encode, where --output is a folder.

    Args:
        shard: number of the share, from 0.
        num_shards: shares in all.
        documents_per_part: documents of a file, after each of which a killed run goes on.
    """

    shard: int = 0
    num_shards: int = 1
    documents_per_part: int = 1_024


@spread
def encode(
    documents: Annotated[options.DocumentOptions, options.DATA],
    shards: Annotated[ShardOptions, "Shards"],
    new: Annotated[options.ModelOptions, "Where --model is a plain encoder"],
    model: Annotated[str, typer.Option(help="Folder of a memenc model, or name or folder of a plain encoder.")],
    output: Annotated[
        Path,
        typer.Option(
            help="Where to write the vectors: a file .npz, .parquet or .jsonl, or a folder, which can be filled "
            "by many processes and goes on where a killed one stopped."
        ),
    ],
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Turn every document into one vector; --data - reads ONE document of any length from standard input."""
    in_shards = output.is_dir() or not output.suffix
    if not in_shards and output.suffix not in WRITERS:
        raise ValueError(f"--output {output}: the name must end in {', '.join(WRITERS)}, or be that of a folder")
    if not in_shards and shards != ShardOptions():
        raise ValueError(f"--output {output}: shards are written to a folder; give one without a suffix")
    if in_shards and documents.data == "-":
        raise ValueError("--data - is one document, and one document has no shards; give a file as --output")
    encoder = encoder_of(model, new, seed, str(options.chosen_device(device)))
    if in_shards:
        return encode_shard(encoder, documents, shards, output)
    vectors = from_standard_input(encoder) if documents.data == "-" else from_records(encoder, documents)
    write_vectors(output, vectors, encoder.model.config.hidden_size)


def encoder_of(name: str, new: options.ModelOptions, seed: int, device: str) -> DocumentEncoder:
    """The encoder that a model's name stands for; a plain one gets a memory that was never trained."""
    plain = not isinstance(AutoConfig.from_pretrained(name), MemencConfig)
    if plain:
        console.note(f"{name} is a plain encoder: its {new.memory} memory is new and untrained", style="yellow")
    elif new != options.ModelOptions():
        raise ValueError(f"{name} is a memenc model with a memory of its own; leave out --memory and its like")
    memory = NewMemory(new.memory, new.memory_options, new.segment_length, new.readout, seed) if plain else None
    return DocumentEncoder(name, device, new_memory=memory)


def encode_shard(
    encoder: DocumentEncoder, documents: options.DocumentOptions, shards: ShardOptions, folder: Path
) -> None:
    """One shard of a corpus into its files, and a word on all the others."""
    shard = Shard(shards.shard, shards.num_shards)
    with console.document_progress() as progress:
        task = progress.add_task(f"reading {shard}", total=None)
        work = ShardWork(
            encoder,
            documents.records(),
            folder,
            shard,
            shards.documents_per_part,
            lambda count: progress.advance(task, count),
        )
        manifest = work.run()
    console.note_problems([f"line {refused['line']}: {refused['reason']}" for refused in manifest["refused"]])
    console.note(f"{shard}: {manifest['documents']:,} documents in {len(manifest['parts'])} files")
    console.note(f"{folder}: {folder_status(folder, shard.count)}")


def from_standard_input(encoder: DocumentEncoder) -> Iterator[Vectors]:
    """One document, read in a stream."""
    pieces = iter(lambda: sys.stdin.read(CHARACTERS_PER_PIECE), "")
    yield Vectors(["-"], encoder.model.encode(pieces, encoder.tokenizer).float().cpu().numpy())


def from_records(encoder: DocumentEncoder, documents: options.DocumentOptions) -> Iterator[Vectors]:
    """The documents of a file, a chunk at a time."""
    reader = documents.records()
    with console.document_progress() as progress:
        task = progress.add_task("reading", total=None)
        for chunk in chunks_of(reader):
            rows = encoder.encode(texts_of(chunk))
            yield Vectors([str(record.line) if record.id is None else record.id for record in chunk], rows)
            progress.advance(task, len(chunk))
    console.note_problems(reader.problems)
