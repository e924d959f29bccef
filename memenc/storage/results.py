"""Results as JSON and CSV, with what is needed to repeat them: versions, hardware, commit, date."""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memenc.storage.files import whole_file, write_whole

PACKAGES = (
    "torch",
    "transformers",
    "triton",
    "einops",
    "datasets",
    "safetensors",
    "scikit-learn",
    "scipy",
    "peft",
    "numpy",
)


def environment() -> dict[str, Any]:
    """Versions, hardware, commit and time of a run, as plain values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"memenc": memenc_version(), "python": platform.python_version()}
        | {name: version_of(name) for name in PACKAGES},
        "platform": platform.platform(),
        "hardware": hardware(),
        "commit": commit(),
    }


def environment_columns() -> dict[str, str]:
    """The same in one level, for tables whose rows come from different runs and machines."""
    facts = environment()
    columns = {name: facts[name] for name in ("date", "commit")} | facts["versions"] | facts["hardware"]
    return {name: str(value) for name, value in columns.items() if value is not None}


def hardware() -> dict[str, Any]:
    """Processor, cores, threads in use and graphics card."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def memenc_version() -> str:
    """Version of the memenc that runs, installed or not."""
    # The package itself stands to the right of every module, so it is looked up instead of imported.
    return sys.modules["memenc"].__version__


def version_of(distribution: str) -> str | None:
    """Version of an installed distribution, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Name of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str | None:
    """Commit of the checkout memenc runs from, with "+changes" if files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    head, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+changes" if head and changes else head or None


def write_results(
    path_without_suffix: str | os.PathLike[str], records: Sequence[Mapping[str, Any]], **facts: Any
) -> None:
    """Write PATH.json (environment, facts and records) and PATH.csv (one row per record); each appears whole.

    Args:
        path_without_suffix: where to; missing folders are made.
        records: one mapping per row; columns are the union of their keys, in order of appearance.
        facts: whatever else belongs to the results, such as settings and seed.
    """
    path = Path(path_without_suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [plain(dict(record)) for record in records]
    content = {"environment": environment(), **plain(facts), "records": rows}
    write_whole(path.with_name(f"{path.name}.json"), json.dumps(content, indent=2, allow_nan=False) + "\n")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = path.with_name(f"{path.name}.csv")
    with whole_file(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add finished rows to a CSV file, with a header if it is new: what was measured survives a kill.

    Columns that the file does not have yet come last, and are empty in rows from before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns, kept = read_rows(path)
    new = list(dict.fromkeys(column for row in rows for column in row if column not in columns))
    whole = not columns or path.read_bytes()[-1:] == b"\n"
    if not whole and kept and (None in kept[-1].values() or not kept[-1][columns[-1]]):
        warnings.warn(f"{path}: the last line is not complete and is left out", stacklevel=2)
        kept = kept[:-1]
    if not new and whole:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerows(rows)
        return
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns + new)
        writer.writeheader()
        writer.writerows([*kept, *rows])


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file; none of either if there is no file."""
    if not path.exists():
        return [], []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return list(reader.fieldnames or ()), rows


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy and torch values as Python's own, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
