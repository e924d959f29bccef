"""Files that are there whole or not at all, even if the machine loses its power."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"


@contextmanager
def placed_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there is flushed to disk and takes its place at the end."""
    # Two processes may write the same file, for instance when a job was believed dead.
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make new names in a folder survive, where the system can."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_leftovers(folder: Path, start: str) -> None:
    """Remove what a killed process left half written."""
    for path in folder.glob(f"{start}*{TEMPORARY}"):
        path.unlink(missing_ok=True)
