"""R22: states that earlier versions saved are read as they were meant, or refused with the version they need.

`python -m benchmarks.reliability.golden tests/golden/VERSION` writes those of a version before it is released, and
refuses where a memory of that version is left out; then the version gets its line in RECORDED. A new design needs none
until then. Files of released versions stay. Where one cannot be read any more, its folder moves to REFUSED with the
words of the refusal.
"""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.reliability import golden
from benchmarks.reliability.golden import NEXT, READ, model_of, tokens
from memenc import MemoryState

GOLDEN = Path(__file__).parents[1] / "golden"
# Folder of a version -> the designs that it recorded.
RECORDED = {
    "0.1.0": "none windowed moving_average compressive pyramid global nearest linear gated tokens summary associative "
    "windowed+linear"
}
# Folder of a version -> what loading its states says.
REFUSED = {}
FILES = sorted(GOLDEN.glob("*/*.safetensors"))


def test_every_recorded_design_has_a_golden_file():
    assert {path.name for path in GOLDEN.iterdir()} == set(RECORDED)
    for version, designs in RECORDED.items():
        for ending in ("safetensors", "json"):
            assert {path.stem for path in (GOLDEN / version).glob(f"*.{ending}")} == set(designs.split())
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*.*")) < 400_000


def test_a_version_is_recorded_with_all_its_memories(tmp_path, monkeypatch):
    monkeypatch.delitem(golden.DESIGNS, "pyramid")
    with pytest.raises(ValueError, match=r"no golden state of pyramid.*: give it a row in DESIGNS"):
        golden.write(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
@torch.no_grad()
def test_golden_states_are_read_on(file):
    if file.parent.name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[file.parent.name]):
            MemoryState.load(file)
        return
    described = json.loads(file.with_suffix(".json").read_text())
    model, state = model_of(described["config"]), MemoryState.load(file)
    assert state.tokens_seen.tolist() == [READ, READ]
    output = model(tokens(NEXT, 5), memory=state)
    assert output.memory.tokens_seen.tolist() == [READ + NEXT, READ + NEXT]
    torch.testing.assert_close(output.pooler_output, torch.tensor(described["vector"]), rtol=2e-5, atol=2e-6)
    afresh = model(tokens(READ, 0)).memory
    assert afresh.tensors.keys() == state.tensors.keys()
    assert all(afresh.tensors[name].dtype == tensor.dtype for name, tensor in state.tensors.items())
