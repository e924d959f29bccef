"""Files and folders that appear whole or not at all, and folders that can tell whether they are what was saved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHECKSUMS = "checksums.json"
FORMAT = "memenc.checksums"
VERSION = 1
# Weights as transformers names them: whole, in shards, with the index of these.
OF_A_SAVE = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
UNFINISHED = ".memenc-saving-"
COMPLETE = ".memenc-saved"
# sentence-transformers writes them anew when it saves a model, and memenc never reads them.
OF_OTHERS = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to; what was written then takes the place of `path` at once, after it has reached the disk.

    Whatever stops the writing, a full disk or a signal, `path` stays as it was.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        _to_disk(temporary)
        temporary.replace(path)
        _folder_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def looks_like_path(name: str | os.PathLike[str]) -> bool:
    """Whether this can be a path alone, and not the name of a model or data set, such as name or owner/name."""
    return os.fspath(name).startswith((".", "~")) or Path(name).is_absolute() or len(Path(name).parts) > 2


def remove_leftovers(folder: Path, start: str) -> None:
    """Remove what a killed process left half written, of files whose names start so."""
    for path in folder.glob(f"{start}*.tmp"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is there whole or not at all, whatever stops the process."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to; what was written then moves to `folder`, sealed.

    Whatever stops the writing, a full disk or a signal, leaves `folder` as it was. What stops the moves at the end,
    which begin once everything has reached the disk, leaves the rest of them to the next one who saves or loads. One
    writer at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finish_save(folder)
    for left_by_a_kill in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    temporary = folder / f"{UNFINISHED}{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        yield temporary
        seal(temporary, _still_there(folder, set(_files(temporary))))
        temporary.rename(folder / COMPLETE)
        finish_save(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def finish_save(folder: Path) -> None:
    """Move what a complete save has not moved yet to its place, checksums last.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: links lead out of the folder: whoever made it wants files of others moved or replaced.
    """
    complete = folder / COMPLETE
    if not complete.is_dir():
        return
    for place in (complete, *((folder / name).parent for name in _files(complete))):
        if not place.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{place} leads out of {folder}: nothing was moved; do not trust this folder")
    _remove_stale_weights(complete, folder)
    for name in [*_files(complete), CHECKSUMS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # Whoever loads meanwhile makes the same moves.
        with suppress(FileNotFoundError):
            (complete / name).replace(folder / name)
    _folder_to_disk(folder)
    shutil.rmtree(complete, ignore_errors=True)


def _remove_stale_weights(complete: Path, folder: Path) -> None:
    """Remove weights of an earlier save that would be read first, if there are new ones."""
    if any(map(_holds_weights, _files(complete))):
        weights = {path.name for path in folder.glob("model*.safetensors*") if OF_A_SAVE.fullmatch(path.name)}
        for stale in weights - set(checksums(complete)):
            (folder / stale).unlink(missing_ok=True)


def seal(folder: Path, keep: dict[str, str] | None = None) -> None:
    """Write the SHA-256 of every file below `folder`, but `OF_OTHERS`, to its checksums, after all reached the disk.

    Args:
        folder: whose files are complete.
        keep: checksums of other files to name beside them.
    """
    found = dict(keep or {})
    for name in _files(folder):
        _to_disk(folder / name)
        if name not in OF_OTHERS:
            found[name] = checksum(folder / name)
    content = {"format": FORMAT, "version": VERSION, "sha256": dict(sorted(found.items()))}
    write_whole(folder / CHECKSUMS, json.dumps(content, indent=1) + "\n")


def check_sealed(folder: Path, partial: bool = False) -> None:
    """Make sure that every file that the checksums of `folder` name is what was saved.

    Args:
        folder: with a file of checksums.
        partial: files that are named but not there are no fault: a hub hands out single files.

    Raises:
        ValueError: one is missing or another one, or the checksums are missing or damaged.
    """
    finish_save(folder)
    for name, expected in checksums(folder).items():
        file = folder / name
        if not file.is_file():
            if partial:
                continue
            raise ValueError(f"{folder} is damaged: {name}, which {CHECKSUMS} names, is missing; copy the folder again")
        if checksum(file) != expected:
            raise ValueError(
                f"{folder} is damaged, or was changed after it was saved: {name} has not the SHA-256 that {CHECKSUMS} "
                f"names. Copy the folder again; if you changed it yourself, delete {CHECKSUMS}"
            )


def check_if_sealed(folder: Path) -> None:
    """The same for a folder that may have no checksums, since others may have written it."""
    finish_save(folder)
    if (folder / CHECKSUMS).is_file():
        check_sealed(folder)


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, as `folder` was sealed with.

    Raises:
        ValueError: there are none, or they are no checksums of ours.
    """
    file = folder / CHECKSUMS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it holds {content['format']!r} version {content['version']!r}")
        found = content["sha256"]
        if not found or not all(isinstance(value, str) for value in found.values()):
            raise ValueError("it names no files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is missing or damaged ({error}); copy the folder again") from error
    return found


def checksum(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _still_there(folder: Path, replaced: set[str]) -> dict[str, str]:
    """Checksums of files of an earlier save that stay where they are."""
    if not (folder / CHECKSUMS).is_file():
        return {}
    try:
        earlier = checksums(folder)
    except ValueError:
        return {}
    weights = any(_holds_weights(name) for name in replaced)
    return {
        name: value
        for name, value in earlier.items()
        if name not in replaced and (folder / name).is_file() and not (weights and _holds_weights(name))
    }


def _holds_weights(name: str) -> bool:
    return name.startswith("model") and ".safetensors" in name


def _files(folder: Path) -> Iterator[str]:
    """Names of all files below a folder but its own checksums and unfinished saves, in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != CHECKSUMS and not name.startswith((UNFINISHED, COMPLETE)):
            yield name


def _to_disk(file: Path) -> None:
    # Windows writes through what is open for writing only.
    with file.open("r+b") as written:
        os.fsync(written.fileno())


def _folder_to_disk(folder: Path) -> None:
    # A rename survives a power cut only when the folder has reached the disk too; only POSIX opens folders.
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
