"""Where commands write to, checked before any work is done."""

from __future__ import annotations

from pathlib import Path


def check_output_folder(folder: Path) -> None:
    """Refuse --output where no folder can be.

    Raises:
        ValueError: it is a file, or lies below one.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file; give a folder")
    _check_parents(folder)


def check_output_file(file: Path) -> None:
    """Refuse --output where no file can be.

    Raises:
        ValueError: it is a folder, or lies below a file.
    """
    if file.is_dir():
        raise ValueError(f"--output {file} is a folder; give a file")
    _check_parents(file)


def _check_parents(path: Path) -> None:
    nearest = next((parent for parent in path.parents if parent.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise ValueError(f"--output {path}: {nearest} is a file, not a folder")
