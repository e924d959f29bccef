"""R9 and R10 in small: damaged models are refused or the same, and nothing in any file is ever run.

States have theirs in tests/test_state.py; `python -m benchmarks.reliability` runs both with larger counts.
"""

import ast
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import memenc
from benchmarks.reliability.damage import checkpoints_in, outcome, outcomes_of_mutations
from benchmarks.reliability.kills import finish, start
from benchmarks.reliability.pickles import Payload, attacks_on_models, payloads, saved_by_torch, sealed_again
from benchmarks.reliability.training import KINDS, Job
from memenc import MemencModel, MemoryState
from memenc.storage.files import CHECKSUMS
from tests.memory.checks import build


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, folder = build("compressive_convolution"), tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    return model, folder


def same_weights(left, right):
    mine, others = left.state_dict(), right.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)


def test_damaged_models_are_refused_or_the_same(saved, tmp_path):
    model, folder = saved[0], shutil.copytree(saved[1], tmp_path / "copy")
    found = outcomes_of_mutations(
        folder, 300, lambda: MemencModel.from_pretrained(folder), lambda again: same_weights(again, model)
    )
    assert found.keys() <= {"refused", "harmless"} and found["refused"] > 250, found


def test_a_silent_load_is_noticed(saved, tmp_path):
    model, folder = saved[0], shutil.copytree(saved[1], tmp_path / "copy")
    (folder / CHECKSUMS).unlink()
    # The last byte is one of a weight.
    weights = folder / "model.safetensors"
    *before, last = weights.read_bytes()
    weights.write_bytes(bytes([*before, last ^ 1]))
    assert outcome(lambda: MemencModel.from_pretrained(folder), lambda again: same_weights(again, model)) == "silent"


def test_payloads_do_run_where_they_are_unpickled(tmp_path):
    target = tmp_path / "ran"
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists()


@pytest.mark.parametrize("attack", attacks_on_models(Path("nowhere")))
def test_nothing_in_a_folder_of_a_model_is_run(attack, saved, tmp_path):
    target, folder = tmp_path / "ran", shutil.copytree(saved[1], tmp_path / "copy")
    attacks_on_models(target)[attack](folder)
    if not attack.endswith("checksums"):
        sealed_again(folder)
    for load in (MemencModel.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises((ValueError, OSError)):
            load(folder)
    assert not target.exists()


def test_nothing_in_a_state_is_run(tmp_path):
    target = tmp_path / "ran"
    for content in payloads(target).values():
        (tmp_path / "state").write_bytes(content)
        with pytest.raises(ValueError, match="state"):
            MemoryState.load(tmp_path / "state")
    assert not target.exists()


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    target, job = tmp_path / "ran", Job(list(KINDS)[1], tmp_path / "job", 5)
    finish(job)
    last = checkpoints_in(job.checkpoints)[-1]
    for file in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        (last / file).write_bytes(saved_by_torch(Payload(target)))
    sealed_again(last)
    process, _ = start(job)
    process.join(60)
    assert process.exitcode == 1 and "Weights only load failed" in job.said
    assert not target.exists()


def test_no_code_of_ours_unpickles():
    found = []
    for file in sorted(Path(memenc.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                found += [f"{file}:{node.lineno}" for name in names if name in ("pickle", "joblib", "dill", "marshal")]
            if isinstance(node, ast.Attribute) and node.attr == "load" and isinstance(node.value, ast.Name):
                found += [f"{file}:{node.lineno}"] if node.value.id in ("torch", "np", "numpy", "yaml") else []
    assert not found, found
