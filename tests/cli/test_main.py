import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from memenc.cli import doctor
from memenc.cli.main import app
from memenc.cli.options import ModelOptions
from memenc.cli.spread import argument_help
from memenc.training.settings import TrainingSettings
from tests.cli.documents import SMALL, reviews

ROOT = Path(__file__).parents[2]
COMMANDS = get_command(app).commands


def test_version(memenc):
    assert memenc("--version").out == "memenc 0.1.0\n"


def test_runs_as_a_module():
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [sys.executable, "-m", "memenc", "--help"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_takes_seed_and_output(memenc, command):
    assert {"--seed", "--output"} <= {name for parameter in COMMANDS[command].params for name in parameter.opts}
    assert "--output" in memenc(command, "--help").out


def test_every_setting_is_an_option_with_its_help(memenc):
    said = memenc("train", "--help", env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).out
    for documented in (TrainingSettings, ModelOptions):
        for name, help_text in argument_help(documented).items():
            assert f"--{name.replace('_', '-')}" in said
            assert " ".join(help_text.split()[:3]) in said


def test_where_there_is_no_task_the_column_is_text(memenc):
    wide = {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}
    for command in ("encode", "pretrain"):
        (said,) = [line for line in memenc(command, "--help", env=wide).out.splitlines() if "--text-column" in line]
        assert "Column of the documents." in said and "[default: text]" in said and "the task" not in said
    assert "what the task calls it" in memenc("predict", "--help", env=wide).out


@pytest.mark.parametrize("place", ["front", "behind", "environment"])
def test_debug_shows_where_an_error_comes_from(memenc, lines, backbone, tmp_path, place):
    command = ["train", "--train", lines(reviews(4)), "--backbone", backbone, "--output", tmp_path / "out", *SMALL]
    command += ["--memory", "elephant"]
    command = {"front": ["--debug", *command], "behind": [*command, "--debug"], "environment": command}[place]
    with pytest.raises(ValueError, match="elephant"):
        memenc(*command, env={"MEMENC_DEBUG": "1"} if place == "environment" else None)


def test_doctor(memenc, tmp_path):
    assert "memory attention" in memenc("doctor").out
    facts = json.loads(memenc("doctor", "--json", "--output", tmp_path / "doctor.json").out)
    assert facts["healthy"] and {"memenc", "python", "torch", "triton"} <= {
        check["name"] for check in facts["packages"]
    }
    assert facts == json.loads((tmp_path / "doctor.json").read_text())


def test_doctor_finds_what_is_too_old_or_missing(memenc, monkeypatch):
    versions = {"torch": "2.9.1+cpu", "peft": None, "transformers": "5.23.0", "einops": None}
    monkeypatch.setattr(doctor, "version_of", lambda name: versions.get(name, "99.0"))
    facts = json.loads(memenc("doctor", "--json", code=1).out)
    checks = {check["name"]: check for check in facts["packages"]}
    assert not facts["healthy"]
    assert not checks["torch"]["good"] and checks["torch"]["wanted"] == ">=2.10"
    assert checks["einops"] == {
        "name": "einops",
        "found": "not installed",
        "wanted": "",
        "good": False,
        "optional": False,
    }
    assert checks["peft"]["optional"] and not checks["peft"]["good"]
    assert "missing or too old" in memenc("doctor", code=1).out


def test_doctor_reads_the_checkout_when_memenc_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    found = doctor.requirements()
    assert isinstance(found["torch"], Requirement) and str(found["torch"].specifier) == ">=2.10"
    assert found["peft"].marker is not None
