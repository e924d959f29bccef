"""I2 as it is meant: a document begun in one process is read on in another, from files, and ends as if read at once."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from memenc import MemoryState, available_memories
from tests.backbones import BACKBONES
from tests.memory.checks import CAPACITY, EXACT, assert_close, assert_states_close, build, tokens
from tests.memory.designs import DESIGNS

ROOT = Path(__file__).parents[2]

# Every memory once and every backbone once, in one process: to start it takes longer than all of them together.
KIND_OF = {
    "none": "roberta",
    "windowed_no_divisor": "llama",
    "average_weighted": "gte",
    "compressive_learned_query": "bert",
    "pyramid": "albert",
    "global_attended": "electra",
    "nearest_gate": "distilbert",
    "linear_delta": "mistral",
    "gated_lstm": "eurobert",
    "tokens": "modernbert",
    "summary": "xlm-roberta",
    "associative": "qwen3",
    "windowed+linear": "gemma2",
    "gated+compressive": "nomic_bert",
}

READ_ON = """
import sys, torch
from pathlib import Path
from memenc import MemencModel, MemoryState
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


def test_every_memory_and_every_backbone_is_there():
    assert {part for design in KIND_OF for part in DESIGNS[design].memory.split("+")} == set(available_memories())
    assert set(KIND_OF.values()) == set(BACKBONES)


def test_another_process_reads_on(tmp_path):
    folders = {design: tmp_path / design for design in KIND_OF}
    wanted = {design: begun(design, KIND_OF[design], folder) for design, folder in folders.items()}
    read_on(folders.values())
    for design, folder in folders.items():
        tolerance, whole = EXACT[BACKBONES[KIND_OF[design]].precision], wanted[design]
        assert_states_close(MemoryState.load(folder / "final"), whole.memory, tolerance)
        assert_close(torch.load(folder / "vector.pt"), whole.pooler_output, tolerance, f"pooler_output of {design}")
