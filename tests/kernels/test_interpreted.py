"""Kernels on a CPU: runs each file of `interpreted/` in a process of its own, in the interpreter of triton."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreted"
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize("file", sorted(FOLDER.glob("test_*.py")), ids=lambda file: file.stem)
def test_interpreted(file, request):
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(file),
        "-q",
        "--no-header",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
    ]
    run = subprocess.run(
        [*command, "--seed", str(request.config.option.seed)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, f"TRITON_INTERPRET=1 {' '.join(command[1:5])}\n{run.stdout}"


def environment():
    """Ours without what pytest and its workers put there: the process is not one of them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
