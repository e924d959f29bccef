"""I2 as it is meant: a document begun in one process is read on in another, from files, and ends as if read at once."""

import os
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

from memenc import MemoryState
from tests.backbones import BACKBONES, compute_in_double
from tests.memory.checks import CAPACITY, EXACT, assert_close, assert_states_close, build, tokens
from tests.memory.designs import DESIGNS

ROOT = Path(__file__).parents[2]


def pairs(designs, kinds):
    """Every design and every kind of backbone at least once: whichever list is shorter starts again."""
    return list(islice(zip(cycle(designs), cycle(kinds), strict=False), max(len(designs), len(kinds))))


# All in one process: starting one takes longer than reading on with a few.
PAIRS = pairs(DESIGNS, BACKBONES)

READ_ON = """
import sys, torch
from pathlib import Path
from memenc import MemencModel, MemoryState
from tests.backbones import compute_in_double
compute_in_double()
for folder in map(Path, sys.argv[1:]):
    given = torch.load(folder / "given.pt")
    model = MemencModel.from_pretrained(folder / "model").to(given["precision"])
    with torch.no_grad():
        output = model(given["rest"], memory=MemoryState.load(folder / "state"))
    output.memory.save(folder / "final")
    torch.save(output.pooler_output, folder / "vector.pt")
"""


@torch.no_grad()
def begun(design, kind, folder):
    """What the whole document leaves; in `folder` lies all that somebody needs to read on in its middle."""
    precision, ids = BACKBONES[kind].precision, tokens(2, 4 * CAPACITY + 9)
    model = build(design, kind)
    model.save_pretrained(folder / "model")
    model.to(precision)
    model(ids[:, :33]).memory.save(folder / "state")
    torch.save({"rest": ids[:, 33:], "precision": precision}, folder / "given.pt")
    return model(ids)


def read_on(folders):
    """Let a fresh process read on in all of these folders."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", READ_ON, *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("designs, kinds", [("abc", "xy"), ("ab", "xyz"), ("ab", "xy")])
def test_pairs_leave_out_nothing(designs, kinds):
    found = pairs(designs, kinds)
    assert len(found) == max(len(designs), len(kinds))
    assert {design for design, _ in found} == set(designs) and {kind for _, kind in found} == set(kinds)


def test_another_process_reads_on(tmp_path, monkeypatch):
    compute_in_double(monkeypatch.setattr)
    folders = {pair: tmp_path / "-".join(pair) for pair in PAIRS}
    wanted = {pair: begun(*pair, folder) for pair, folder in folders.items()}
    read_on(folders.values())
    for (design, kind), folder in folders.items():
        tolerance, whole = EXACT[BACKBONES[kind].precision], wanted[design, kind]
        assert_states_close(MemoryState.load(folder / "final"), whole.memory, tolerance)
        vector = torch.load(folder / "vector.pt")
        assert_close(vector, whole.pooler_output, tolerance, f"pooler_output of {design} on {kind}")
