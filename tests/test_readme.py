"""What the README shows runs, with a tiny encoder in the place of the real ones."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from memenc import available_memories
from memenc.cli.main import app
from tests.tiny import save_tiny_backbone, tiny_documents

README = (Path(__file__).parents[1] / "README.md").read_text()
# The third needs a memory of one's own: tests/test_contributing.py.
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    memenc ")]
ENCODERS = ("sentence-transformers/all-MiniLM-L6-v2", "answerdotai/ModernBERT-base")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"), positions=512)


def with_tiny(text, backbone):
    for name in ENCODERS:
        text = text.replace(name, backbone)
    return text


def test_there_is_something_to_run():
    assert len(PYTHON_BLOCKS) == 3 and len(COMMANDS) == 3


@pytest.mark.parametrize("block", range(2))
def test_python_runs(block, backbone, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts, labels = tiny_documents(12, (5, 40), seed=1)
    new_texts, new_labels = tiny_documents(6, (5, 40), seed=2)
    names = {"texts": texts, "labels": labels, "new_texts": new_texts, "new_labels": new_labels}
    names |= {"input_ids": torch.randint(5, 40, (2, 700)), "attention_mask": torch.ones(2, 700)}
    exec(with_tiny(PYTHON_BLOCKS[block], backbone), names)
    if block == 0:
        assert "Memory" in capsys.readouterr().out
    else:
        assert names["output"].pooler_output.shape == (2, 32)
        assert names["output"].last_hidden_state.shape == (2, 700, 32)
        assert Path("contract.memory").is_file()


def test_commands_run(backbone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("reviews.jsonl", 1), ("new.jsonl", 2)):
        lines = [{"text": text, "label": label} for text, label in zip(*tiny_documents(20, (5, 40), seed), strict=True)]
        Path(name).write_text("\n".join(map(json.dumps, lines)))
    for command in COMMANDS:
        result = CliRunner().invoke(app, shlex.split(with_tiny(command, backbone))[1:])
        assert result.exit_code == 0, (command, result.output)
    assert len(Path("predictions.jsonl").read_text().splitlines()) == 20


def test_commands_within_the_text_are_complete_or_say_that_they_are_not():
    commands = [shlex.split(found) for found in re.findall(r"`(memenc \w+ [^`]*-[^`]*)`", README)]
    whole = [words for words in commands if "..." not in words]
    assert len(whole) >= 5
    known = get_command(app).commands
    for _, name, *given in whole:
        options = {flag: option for option in known[name].params for flag in option.opts + option.secondary_opts}
        assert {word for word in given if word.startswith("--")} <= options.keys(), (name, given)
        missing = [option.name for option in known[name].params if option.required and not {*option.opts} & {*given}]
        assert not missing, (name, given)


def test_every_memory_has_a_row():
    memories = README.partition("\n## Memories\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", memories, re.MULTILINE)
    assert sorted(rows) == sorted(available_memories())
