"""The tests that need a GPU, one row per file: what passed and what failed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speed.table import Job, NotRun

ROOT = Path(__file__).resolve().parents[2]


def jobs(key: tuple[str, ...], device: str, deadline: float) -> Iterator[Job]:
    """A row for each file of tests/kernels/gpu."""
    for file in sorted((ROOT / "tests" / "kernels" / "gpu").glob("test_*.py")):
        name = dict.fromkeys(key, "") | {
            "function": file.stem.removeprefix("test_"),
            "implementation": "triton",
            "direction": "tests",
        }
        yield Job(name, lambda file=file: _tested(file, device, deadline))


def _tested(file: Path, device: str, deadline: float) -> Mapping[str, Any]:
    if device == "cpu":
        raise NotRun("the tests need a GPU")
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--tb=line", str(file)]
    left = max(30.0, deadline - time.time())
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        raise NotRun(f"the tests did not end in {left:.0f} s") from None
    return {"note": result_of(done.stdout, done.returncode)}


def result_of(output: str, code: int) -> str:
    """Pytest's last line, and the first failures."""
    lines = [line for line in output.splitlines() if line.strip()]
    summary = next((line.strip("= ") for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "")
    failures = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    verdict = "passed" if code == 0 else f"failed (exit status {code})"
    return "; ".join([f"{verdict}: {summary}", *failures[:5]])[:600]
