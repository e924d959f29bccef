"""The tests that need a GPU, one row per file: what passed and what failed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speed.table import Job, NotRun

ROOT = Path(__file__).resolve().parents[2]
# What every memory runs through comes first: time may be up before the last.
FIRST = ("memory_attention", "linear_memory")
# Of them each holds half a gigabyte of the GPU's memory; nearly all they do is compile, on a core each.
MOST_PROCESSES = 16


def jobs(key: tuple[str, ...], device: str, deadline: float) -> Iterator[Job]:
    """A row for each file of tests/kernels/gpu."""
    folder = ROOT / "tests" / "kernels" / "gpu"
    first = [folder / f"test_{name}.py" for name in FIRST]
    for file in dict.fromkeys([*first, *sorted(folder.glob("test_*.py"))]):
        name = dict.fromkeys(key, "") | {
            "function": file.stem.removeprefix("test_"),
            "implementation": "triton",
            "direction": "tests",
        }
        yield Job(name, lambda file=file: _tested(file, device, deadline))


def _tested(file: Path, device: str, deadline: float) -> Mapping[str, Any]:
    if device == "cpu":
        raise NotRun("the tests need a GPU")
    left = max(30.0, deadline - time.time())
    try:
        done = subprocess.run(command_of(file), cwd=ROOT, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        raise NotRun(f"the tests did not end in {left:.0f} s") from None
    return {"note": result_of(done.stdout, done.returncode)}


def command_of(file: Path) -> list[str]:
    """Runs the tests of a file, several at once where pytest-xdist is installed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--tb=line", str(file)]
    if importlib.util.find_spec("xdist") is None:
        return command
    return [*command, "-n", "auto", "--maxprocesses", str(MOST_PROCESSES)]


def result_of(output: str, code: int) -> str:
    """Pytest's last line, and the first failures."""
    lines = [line for line in output.splitlines() if line.strip()]
    summary = next((line.strip("= ") for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "")
    failures = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    verdict = "passed" if code == 0 else f"failed (exit status {code})"
    return "; ".join([f"{verdict}: {summary}", *failures[:5]])[:600]
