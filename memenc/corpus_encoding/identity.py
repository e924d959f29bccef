"""Which model and which data vectors come from, by content: names and places may change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from memenc.data.records import Record, RecordReader, open_dataset
from memenc.data.sources import text_files
from memenc.model import MemencModel


def model_hash(model: MemencModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over the configuration, every weight with its name, shape and type, and the tokenizer."""
    configuration = {"fingerprint": model.fingerprint, "readout": model.config.readout}
    digest = hashlib.sha256(json.dumps(configuration, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    digest.update(tokenizer_description(tokenizer).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def tokenizer_description(tokenizer: PreTrainedTokenizerBase) -> str:
    """Everything that decides which ids a text gets."""
    backend: Any = tokenizer.backend_tokenizer if tokenizer.is_fast else None
    if backend is not None:
        # These are left behind by the last call; documents are neither cut nor padded.
        left_behind = {"truncation": None, "padding": None}
        return json.dumps(json.loads(backend.to_str()) | left_behind, sort_keys=True)
    return json.dumps([type(tokenizer).__name__, tokenizer.get_vocab()], sort_keys=True)


@dataclass(frozen=True)
class DataFiles:
    """The files that a source consists of.

    Args:
        paths: in their order.
    """

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, reader: RecordReader) -> DataFiles:
        """The files behind a reader."""
        path = Path(reader.source)
        if path.is_file():
            return cls((path,))
        if texts := text_files(reader.source):
            return cls(tuple(texts))
        files = open_dataset(str(reader.source), reader.split).cache_files
        return cls(tuple(Path(file["filename"]) for file in files))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over their content."""
        digest = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    @cached_property
    def stamps(self) -> list[list[int]]:
        """Their sizes (bytes) and times of change (nanoseconds): while these stay, so does the content."""
        return [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in self.paths)]


def content_hash(record: Record) -> bytes:
    """SHA-256 over id and text: which shard holds a document depends on nothing else."""
    name = b"" if record.id is None else record.id.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(len(name).to_bytes(8, "big") + name)
    digest.update(record.text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def short(value: Any) -> str:
    """A hash as it is shown in messages."""
    return str(value)[:12]
