"""What became of every shard of a folder: finished, failed, begun or not begun."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memenc.corpus_encoding.identity import short
from memenc.storage.files import whole_file

FORMAT, VERSION = "memenc.encoded_shard", 1
SHARD_FILE = re.compile(r"shard-(\d+)-of-(\d+)(\.part-\d+\.parquet|\.failed\.json|\.json)$")


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a corpus.

    Args:
        index: from 0.
        count: shards in all.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard {self.index} of {self.count}: shards are numbered from 0 to their number - 1")

    def __str__(self) -> str:
        return f"shard {self.index} of {self.count}"

    @property
    def name(self) -> str:
        """Start of the names of its files."""
        return f"shard-{self.index:05d}-of-{self.count:05d}"

    def holds(self, content: bytes) -> bool:
        """Whether a document with this hash belongs here."""
        return int.from_bytes(content, "big") % self.count == self.index

    def holds_line(self, line: int) -> bool:
        """Whether a record that is no document, and so has no content to go by, is counted here."""
        return line % self.count == self.index

    def part(self, folder: Path, number: int) -> Path:
        """File of a part."""
        return folder / f"{self.name}.part-{number:05d}.parquet"

    def manifest(self, folder: Path) -> Path:
        """File that is there when the shard is finished."""
        return folder / f"{self.name}.json"

    def failure(self, folder: Path) -> Path:
        """File that says why the shard failed."""
        return folder / f"{self.name}.failed.json"


@dataclass
class FolderStatus:
    """What became of the shards of a folder, by their numbers.

    Args:
        count: shards in all.
        finished: those with a manifest.
        failed: why those failed that said so.
        begun: those that left parts, and nothing else: they run, or were killed.
    """

    count: int
    finished: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all are finished."""
        return len(self.finished) == self.count

    def __str__(self) -> str:
        said = [f"{len(self.finished)} of {self.count} shards finished"]
        said += [f"shard {index} failed: {reason}" for index, reason in self.failed.items()]
        if self.begun:
            said.append(f"begun: {', '.join(map(str, self.begun))}")
        rest = self.count - len(self.finished) - len(self.failed) - len(self.begun)
        return "; ".join([*said, f"{rest} not begun"] if rest else said)


def folder_status(folder: Path, count: int) -> FolderStatus:
    """What became of the shards of a folder.

    Raises:
        ValueError: the folder holds shards of another number.
    """
    status, kinds = FolderStatus(count), {}
    for path in sorted(folder.glob("shard-*")):
        named = SHARD_FILE.match(path.name)
        if named is None:
            continue
        if int(named[2]) != count:
            raise ValueError(f"{folder} holds shards of {int(named[2])}, not of {count}; give another --output")
        kinds.setdefault(int(named[1]), set()).add(named[3])
    for index, found in kinds.items():
        if ".json" in found:
            status.finished.append(index)
        elif ".failed.json" in found:
            status.failed[index] = read_json(Shard(index, count).failure(folder))["error"]
        else:
            status.begun.append(index)
    return status


def read_json(path: Path) -> dict[str, Any]:
    """The content of a manifest.

    Raises:
        ValueError: it is damaged, foreign or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and the shard is encoded again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ValueError(f"{path} is no {FORMAT} of version {VERSION}; give another --output")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest; it appears whole or not at all."""
    with whole_file(path) as temporary:
        text = json.dumps({"format": FORMAT, "version": VERSION} | content, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def refuse_difference(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise ValueError if a manifest was written with another model, other data or other settings."""
    different = [name for name in here if there.get(name) != here[name]]
    if different:
        said = "; ".join(f"{name}: {short(there.get(name))} there, {short(here[name])} here" for name in different)
        raise ValueError(f"{path} was written with another {' and '.join(different)} ({said}); give another --output")
