"""`memenc encode`: one context vector per document."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from transformers import AutoConfig

from memenc.cli import console, options
from memenc.cli.corpus import chunks_of, texts_of
from memenc.cli.outputs import check_output_file, check_output_folder
from memenc.cli.progress import document_progress
from memenc.cli.spread import given_options, spread
from memenc.config import MemencConfig
from memenc.corpus_encoding import DocumentEncoder, EndlessDocument, NewMemory, Shard, ShardWork, folder_status
from memenc.corpus_encoding.endless import BYTES_PER_BLOCK
from memenc.corpus_encoding.ray_engine import ShardsOnRay, encode_on_ray
from memenc.corpus_encoding.vector_files import WRITERS, Vectors, name_of, write_vectors
from memenc.data.records import NamedApart
from memenc.data.sources import Reach, text_files
from memenc.saved import require_model

# Files that are one document, and not one per line.
ONE_DOCUMENT = (".txt", ".log")


@dataclass(frozen=True)
class ShardOptions:
    """Which share of a corpus to encode, where --output is a folder.

    Args:
        shard: number of the share, from 0.
        num_shards: shares in all.
        documents_per_part: documents of a file, after each of which a killed run goes on.
        engine: this process for one shard, or all shards as actors of Ray Data (pip install 'memenc[ray]').
        workers: with --engine ray, processes with a model each.
    """

    shard: int = 0
    num_shards: int = 1
    documents_per_part: int = 1_024
    engine: Literal["process", "ray"] = "process"
    workers: int = 1

    def __post_init__(self) -> None:
        if self.engine == "ray" and self.shard:
            raise ValueError(f"--shard {self.shard}: --engine ray encodes all shards; leave it out")
        if self.engine != "ray" and self.workers != 1:
            raise ValueError(f"--workers {self.workers} is for --engine ray; give that, or leave it out")


@dataclass(frozen=True)
class StreamOptions:
    """How one document is read in a stream.

    Args:
        state: file that is written on the way; where it is there, a killed run goes on, and only what a document has
            grown by is read.
        save_every: tokens from one writing of it to the next.
    """

    state: Path | None = None
    save_every: int = 1_000_000


@spread
def encode(
    documents: Annotated[options.TextOptions, options.DATA],
    shards: Annotated[ShardOptions, "Shards"],
    stream: Annotated[StreamOptions, "Where --data is one document"],
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
    """Turn every document into one vector; --data - (standard input), .txt and .log are ONE document of any length."""
    one = is_one_document(documents.data)
    in_shards = output.is_dir() or not output.suffix
    if not in_shards and output.suffix not in WRITERS:
        raise ValueError(f"--output {output}: the name must end in {', '.join(WRITERS)}, or be that of a folder")
    if not in_shards and shards != ShardOptions():
        raise ValueError(f"--output {output}: shards are written to a folder; give one without a suffix")
    if in_shards and one:
        raise ValueError(f"--data {documents.data} is one document, which has no shards; give a file as --output")
    if not one and stream != StreamOptions():
        raise ValueError(f"--state is for one document (--data -, .txt or .log); {documents.data} may hold many")
    if one and (given := given_options(documents, options.TextOptions(documents.data))):
        said = f"--data {documents.data} is one document and holds no records; leave it out"
        raise ValueError(f"{' '.join(given.values())}: {said}")
    (check_output_folder if in_shards else check_output_file)(output)
    encoder = encoder_of(model, new, seed, str(options.chosen_device(device)))
    if in_shards:
        by_engine = encode_all_on_ray if shards.engine == "ray" else encode_shard
        return by_engine(encoder, documents, shards, output)
    vectors = from_stream(encoder, documents.data, stream) if one else from_records(encoder, documents)
    write_vectors(output, vectors, encoder.model.config.hidden_size)


def is_one_document(source: str) -> bool:
    """Whether a source is one document, read in a stream; a pattern stands for many files."""
    pattern = bool(set("*?[") & set(source)) and not Path(source).is_file()
    return source == "-" or (source.endswith(ONE_DOCUMENT) and not pattern)


def encoder_of(name: str, new: options.ModelOptions, seed: int, device: str) -> DocumentEncoder:
    """The encoder that a model's name stands for; a plain one gets a memory that was never trained."""
    require_model(name)
    plain = not isinstance(AutoConfig.from_pretrained(name), MemencConfig)
    if plain:
        console.note(f"{name} is a plain encoder: its {new.memory} memory is new and untrained", style="yellow")
    elif new != options.ModelOptions():
        raise ValueError(f"{name} is a memenc model with a memory of its own; leave out --memory and its like")
    named = (new.memory, new.memory_options, new.segment_length, new.readout, seed, new.further_options)
    return DocumentEncoder(name, device, new_memory=NewMemory(*named) if plain else None)


def encode_shard(encoder: DocumentEncoder, documents: options.TextOptions, shards: ShardOptions, folder: Path) -> None:
    """One shard of a corpus into its files, and a word on all the others."""
    shard = Shard(shards.shard, shards.num_shards)
    reader = documents.records(understanding=NamedApart)
    with document_progress(f"reading {shard}") as shown:

        def advance(count: int, tokens: int) -> None:
            shown.advance(count, tokens, reader.share_read)

        work = ShardWork(encoder, reader, folder, shard, shards.documents_per_part, advance)
        manifest = work.run()
    console.note_problems([f"line {refused['line']}: {refused['reason']}" for refused in manifest["refused"]])
    console.note(f"{shard}: {manifest['documents']:,} documents in {len(manifest['parts'])} files")
    console.note(f"{folder}: {folder_status(folder, shard.count)}")


def encode_all_on_ray(
    encoder: DocumentEncoder, documents: options.TextOptions, shards: ShardOptions, folder: Path
) -> None:
    """All shards of a corpus, wherever Ray runs them."""
    # Workers stand in folders of their own.
    here = Path(documents.data).exists() or text_files(documents.data)
    source = str(Path(documents.data).resolve()) if here else documents.data
    reader = replace(documents, data=source).records(understanding=NamedApart)
    work = ShardsOnRay(encoder, reader, folder.resolve(), shards.num_shards, shards.documents_per_part)
    encode_on_ray(work, shards.workers, graphics_cards=1 if encoder.device == "cuda" else 0)
    console.note(f"{folder}: {folder_status(folder, shards.num_shards)}")


def from_stream(encoder: DocumentEncoder, source: str, stream: StreamOptions) -> Iterator[Vectors]:
    """One document, in constant memory."""
    told: list[int] = []
    blocks = Blocks(source)
    with document_progress() as shown:

        def advance(tokens: int) -> None:
            # The first are those that the state had read before.
            if told:
                shown.advance(tokens=tokens, share=blocks.share)
            else:
                shown.pass_over(tokens)
            told.append(tokens)

        document = EndlessDocument(encoder, stream.state, stream.save_every, advance=advance)
        vector = document.read(blocks)
        yield Vectors([source], vector, np.array([sum(told) == 0]))


class Blocks:
    """The bytes of one document, a block at a time.

    Args:
        source: a file, or "-" for standard input.

    Attributes:
        share: of the file that was read, from 0 to 1; None where its size is not known.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.share: float | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self.source == "-":
            yield from iter(lambda: sys.stdin.buffer.read(BYTES_PER_BLOCK), b"")
            return
        with Path(self.source).open("rb") as file:
            reach = Reach(total=os.fstat(file.fileno()).st_size)
            for block in iter(lambda: file.read(BYTES_PER_BLOCK), b""):
                reach.done += len(block)
                self.share = reach.share
                yield block


def from_records(encoder: DocumentEncoder, documents: options.TextOptions) -> Iterator[Vectors]:
    """The documents of a file, a chunk at a time."""
    reader = documents.records(understanding=NamedApart)
    with document_progress() as shown:
        for chunk in chunks_of(reader):
            rows, tokens = encoder.encode_counted(texts_of(chunk))
            yield Vectors([name_of(record) for record in chunk], rows, tokens == 0)
            shown.advance(len(chunk), int(tokens.sum()), reader.share_read)
    console.note_problems(reader.problems)
