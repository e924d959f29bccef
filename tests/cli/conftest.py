"""The command line in this process, a tiny backbone, and one trained model of each kind."""

import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from memenc.cli.main import app
from tests.cli.documents import FAST, SMALL, reviews, write_lines
from tests.cli.task_records import KINDS
from tests.tiny import save_tiny_backbone


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def memenc():
    """Run a command: `memenc("train", "--train", path, code=1)`."""

    def run(*arguments, code=0, stdin=None, env=None):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """Folder of a random encoder and its tokenizer."""
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def lines(tmp_path):
    """Write rows as JSON Lines and give the path."""
    return lambda rows, name="data.jsonl": write_lines(tmp_path / name, rows)


@pytest.fixture(scope="session")
def trained(memenc, backbone, tmp_path_factory):
    """Train on rows, small and fast, and give the model's folder."""

    def run(rows):
        folder = tmp_path_factory.mktemp("trained")
        path = write_lines(folder / "train.jsonl", rows)
        memenc("train", "--train", path, "--backbone", backbone, "--output", folder / "model", *SMALL, *FAST)
        return folder / "model"

    return run


@pytest.fixture(scope="session")
def model(trained):
    """Folder of a trained single-label classifier."""
    return trained(reviews(24))


@pytest.fixture(scope="session")
def several(trained):
    """Folder of a trained multi-label classifier."""
    return trained([{**row, "label": [row["label"], "report"]} for row in reviews(16)])


@pytest.fixture(scope="session")
def regression(trained):
    """Folder of a trained regression model."""
    return trained([{**row, "label": len(row["text"]) / 100} for row in reviews(16)])


@pytest.fixture(scope="session")
def folder_of(memenc, backbone, tmp_path_factory):
    """Train one model of each kind, once."""
    made = {}

    def folder(kind):
        if kind not in made:
            rows, options = KINDS[kind]
            place = tmp_path_factory.mktemp("task")
            path = write_lines(place / "train.jsonl", rows(12))
            task = ["--task", kind.split(",")[0], *options]
            common = ["--train", path, "--backbone", backbone, "--output", place / "model"]
            memenc("train", *common, *task, *SMALL, *FAST)
            made[kind] = place / "model"
        return made[kind]

    return folder
