"""Encode one shard of a corpus into a folder that others fill at the same time; stop and start it as you like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memenc.corpus_encoding.document_encoder import DocumentEncoder
from memenc.corpus_encoding.identity import DataFiles, content_hash, short
from memenc.corpus_encoding.manifest import Shard, folder_status, read_json, refuse_difference, write_json
from memenc.corpus_encoding.parts import Origin, origin_of, write_part
from memenc.corpus_encoding.vector_files import name_of
from memenc.data.records import Record, RecordReader, batches_of
from memenc.state import fingerprint_of
from memenc.storage.files import remove_leftovers
from memenc.storage.results import environment

# Of one part at most: what is held at a time, and what a killed process has to do again.
CHARACTERS_PER_PART = 16_000_000


@dataclass
class ShardWork:
    """One shard on its way.

    Args:
        encoder: turns texts into vectors.
        reader: of the whole corpus; every shard reads all of it and encodes its own.
        folder: of all shards.
        shard: which one.
        documents_per_part: documents of a file, after each of which a killed run goes on.
        advance: is told how many more documents are finished, and how many tokens were read for that.
    """

    encoder: DocumentEncoder
    reader: RecordReader
    folder: Path
    shard: Shard
    documents_per_part: int = 1_024
    advance: Callable[[int, int], None] = lambda documents, tokens: None

    def run(self) -> dict[str, Any]:
        """Encode what is missing or damaged and give the manifest; what is finished and whole stays as it is.

        Raises:
            ValueError: the folder holds shards of another model, of other data or of another number, or a record
                cannot be used.
        """
        if self.documents_per_part < 1:
            raise ValueError(f"documents_per_part={self.documents_per_part}: give at least 1")
        self.folder.mkdir(parents=True, exist_ok=True)
        status = folder_status(self.folder, self.shard.count)
        files = DataFiles.of(self.reader)
        finished = {index: Shard(index, self.shard.count).manifest(self.folder) for index in status.finished}
        manifests = {index: read_json(path) for index, path in finished.items()}
        identity = self._settings() | {"data": data_hash(files, manifests.values())}
        for index, path in finished.items():
            refuse_difference(path, manifests[index]["identity"], identity)
        own = manifests.get(self.shard.index)
        if own is not None and self._whole(own, identity):
            return own
        try:
            manifest = self._encode(identity, files.stamps)
        except Exception as error:
            write_json(self.shard.failure(self.folder), {"error": f"{type(error).__name__}: {error}"})
            raise
        self.shard.failure(self.folder).unlink(missing_ok=True)
        remove_leftovers(self.folder, self.shard.name)
        return manifest

    def _whole(self, manifest: dict[str, Any], identity: dict[str, Any]) -> bool:
        """Whether every part that a manifest names is there and readable."""
        origin = fingerprint_of(identity)
        return all(
            origin_of(self.folder / part["file"]) == Origin(origin, part["content"]) for part in manifest["parts"]
        )

    def _settings(self) -> dict[str, Any]:
        """What all shards of a folder share, beside the data."""
        settings = {
            "model": self.encoder.model_hash,
            "text_column": self.reader.text_column,
            "split": self.reader.split,
        }
        # Manifests of before name no delimiter.
        return settings | ({} if self.reader.delimiter is None else {"delimiter": self.reader.delimiter})

    def _encode(self, identity: dict[str, Any], stamps: list[list[int]]) -> dict[str, Any]:
        parts = [
            self._part(number, documents, identity)
            for number, documents in enumerate(batches_of(self._own(), self.documents_per_part, CHARACTERS_PER_PART))
        ]
        refused = [
            {"line": line, "reason": reason}
            for line, reason in zip(self.reader.problem_lines, self.reader.problems, strict=True)
            if self.shard.holds_line(line)
        ]
        manifest = {
            "shard": {"index": self.shard.index, "count": self.shard.count},
            "identity": identity,
            "data_stamps": stamps,
            "documents": sum(part["documents"] for part in parts),
            "characters": sum(part["characters"] for part in parts),
            "refused": refused,
            "parts": parts,
            "environment": environment(),
        }
        # Another shard may have been finished meanwhile.
        for index in folder_status(self.folder, self.shard.count).finished:
            path = Shard(index, self.shard.count).manifest(self.folder)
            refuse_difference(path, read_json(path)["identity"], identity)
        write_json(self.shard.manifest(self.folder), manifest)
        return read_json(self.shard.manifest(self.folder))

    def _own(self) -> Iterator[Record]:
        return (record for record in self.reader if self.shard.holds(content_hash(record)))

    def _part(self, number: int, documents: list[Record], identity: dict[str, Any]) -> dict[str, Any]:
        path = self.shard.part(self.folder, number)
        content = hashlib.sha256(b"".join(map(content_hash, documents))).hexdigest()
        origin = Origin(fingerprint_of(identity), content)
        there = origin_of(path)
        if there is not None and there != origin:
            raise ValueError(
                f"{path} was written with another model, other data or other --documents-per-part "
                f"({short(there.identity)}, here {short(origin.identity)}); give another --output, or remove it"
            )
        read = 0
        if there is None:
            names = [name_of(record) for record in documents]
            rows, tokens = self.encoder.encode_counted([record.text for record in documents])
            write_part(path, names, rows, tokens == 0, origin)
            read = int(tokens.sum())
        self.advance(len(documents), read)
        characters = sum(len(record.text) for record in documents)
        return {"file": path.name, "documents": len(documents), "characters": characters, "content": content}


def data_hash(files: DataFiles, manifests: Iterable[dict[str, Any]]) -> str:
    """Hash of the data: what a finished shard found, if they were not touched since, without reading them again."""
    known = (found["identity"]["data"] for found in manifests if found["data_stamps"] == files.stamps)
    return next(known, None) or files.hash
