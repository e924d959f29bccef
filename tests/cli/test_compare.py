import json
import re

import pytest
import yaml

from memenc import progress
from memenc.cli import compare as command
from memenc.comparison.run import compare
from tests.comparison.made_up import VALUES, made_up


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A comparison whose numbers are made up."""

    def here(settings, output, workers, watch, **more):
        return compare(settings, output, 0, watch, work=made_up, **more)

    monkeypatch.setattr(command, "run_comparison", here)
    path = tmp_path / "comparison.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    return path


def test_a_comparison_says_what_to_take_and_where_everything_is(memenc, config, tmp_path):
    done = memenc("compare", "--config", config, "--output", tmp_path / "out", "--seed", 7)
    assert "Under 2,100 bytes take" in done.out and "report.html" in done.err
    assert "10/10 titans-pytorch on memorize, 2,100 bytes, seed 8" in done.err
    records = json.loads((tmp_path / "out" / "results.json").read_text())["records"]
    assert {record["seed"] for record in records} == {7, 8}
    again = memenc("compare", "--config", config, "--output", tmp_path / "out", "--seed", 7)
    assert "10 cells, 8 of them finished before" in again.err and again.err.count("/2 ") == 2
    reported = memenc("compare", "--config", config, "--output", tmp_path / "out", "--seed", 7, "--finished-only")
    assert "Under 2,100 bytes take" in reported.out and reported.err.count("/2 ") == 0


def test_finished_cells_of_another_comparison_are_taken_over(memenc, config, tmp_path):
    memenc("compare", "--config", config, "--output", tmp_path / "published")
    taking = ("compare", "--config", config, "--output", tmp_path / "mine", "--known", tmp_path / "published")
    done = memenc(*taking)
    assert "8 cells taken from" in done.err and "10 cells, 8 of them finished before" in done.err
    again = memenc(*taking)
    assert "0 cells taken from" in again.err and "none that is missing here" in again.err


def test_what_failed_is_named_and_the_exit_code_says_so(memenc, config, tmp_path, monkeypatch):
    monkeypatch.setenv("FAILING", "linear")
    done = memenc("compare", "--config", config, "--output", tmp_path / "out", code=1)
    assert "failed: linear on memorize, 2,100 bytes, seed 0: RuntimeError: out of luck" in done.err
    assert "take none for memorize: at 8 segments it is tied with windowed" in done.out


def test_an_unknown_comparison_is_one_red_line(memenc, tmp_path):
    done = memenc("compare", "--config", "elephant", "--output", tmp_path, code=1)
    assert done.err.strip() == "error: no comparison 'elephant': give a YAML file, or one of full, small, smoke"


def test_a_file_gets_a_line_now_and_then(memenc, config, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    done = memenc("compare", "--config", config, "--output", tmp_path / "out")
    lines = [line for line in done.err.splitlines() if re.match(r"\d+% ", line)]
    shares = [int(line.partition("%")[0]) for line in lines]
    assert shares == sorted(shares) and len(shares) == 8 and lines[-1].endswith(" left")
