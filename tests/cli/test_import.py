"""`--import`: memories of one's own on the command line."""

import re
from pathlib import Path

import pytest

from memenc.memory import MEMORIES
from tests.cli.documents import FAST, reviews

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
(COMMAND,) = [line.split()[1:] for line in TEXT.splitlines() if line.startswith("    memenc ")]


def test_a_memory_of_ones_own_is_trained_and_used_again(memenc, lines, backbone, own_design, tmp_path):
    lines(reviews(12), "reviews.jsonl")
    memenc(*COMMAND, "--backbone", backbone, "--segment-length", "16", *FAST)
    predict = ["predict", "--model", "model", "--data", "reviews.jsonl"]
    assert len(memenc(*predict).lines) == 12
    del MEMORIES["decayed_mean"]
    said = memenc(*predict, code=1).err
    assert re.search("error: unknown memory 'decayed_mean'.*--import MODULE", said) and said.count("\n") == 1


@pytest.mark.parametrize("place", ["before", "behind", "joined"])
def test_it_may_stand_anywhere(memenc, own_design, place):
    given = ["--import=decayed_mean"] if place == "joined" else ["--import", "decayed_mean"]
    memenc(*([*given, "doctor"] if place == "before" else ["doctor", *given]))
    assert "decayed_mean" in MEMORIES


def test_a_module_that_is_not_there_is_one_red_line(memenc, own_design):
    said = memenc("doctor", "--import", "decayed_median", code=1).err
    assert said.startswith("error: there is no module 'decayed_median' to import") and said.count("\n") == 1
    assert "No such option" in memenc("doctor", "--import", code=2).err
