"""The memory of one's own in CONTRIBUTING.md and in the README does what the text says."""

import re
from pathlib import Path

import yaml

from memenc import MemencModel
from memenc.comparison import ComparisonSettings
from memenc.comparison.cells import cells_of
from memenc.memory import MEMORIES
from tests.tiny import save_tiny_backbone

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_example_is_short_and_keeps_the_contract(own_design, monkeypatch):
    design, check = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert design == own_design.read_text() and len(design.splitlines()) < 45
    monkeypatch.syspath_prepend(own_design.parent)
    exec(check, {})
    assert MEMORIES["decayed_mean"].options == ["decay", "initial_bias"]


def test_the_comparison_names_it(own_design):
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    cells = cells_of(ComparisonSettings.of(yaml.safe_load(block)))
    assert [cell.contender.name for cell in cells[:4]] == ["none", "windowed", "decayed_mean", "slow"]
    assert cells[3].contender.memory == "decayed_mean" and cells[3].contender.options == {"decay": 0.98}


def test_the_lines_of_the_readme_run(own_design, tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (block,) = [found for found in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "decayed" in found]
    names = {}
    monkeypatch.syspath_prepend(own_design.parent)
    exec(block.replace("answerdotai/ModernBERT-base", save_tiny_backbone(tmp_path / "tiny", positions=512)), names)
    assert isinstance(names["model"], MemencModel) and names["model"].config.memory == "decayed_mean"
