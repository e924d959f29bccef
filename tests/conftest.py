"""Seeds and environment shared by all tests."""

import os

# Both are read when transformers and tokenizers are imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import importlib
import random
import re
import sys
from pathlib import Path

import numpy
import pytest
import torch


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, help="seed of every test's random numbers (default: a fresh one)")


def pytest_configure(config):
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.option.seed = config.workerinput["seed"]
        # Workers that each use every core slow each other down.
        torch.set_num_threads(1)
    elif config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**31)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    # xdist: a default chosen after the command line was read does not reach the workers by itself.
    node.workerinput["seed"] = node.config.option.seed


def pytest_report_header(config):
    return f"seed: {config.option.seed}"


def seed_everything(seed):
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Reaches the fixtures of wider scope, which are made before any fixture of the test itself.
    seed_everything(item.config.option.seed)


@pytest.fixture(autouse=True)
def _seeded(request):
    # Again: a test draws the same numbers whether or not a shared fixture was made just before it. Another
    # seed, so that it does not draw the numbers of that fixture.
    seed_everything(request.config.option.seed + 1)


@pytest.fixture
def own_design(tmp_path, monkeypatch):
    """The memory of CONTRIBUTING.md as decayed_mean.py in the working directory; what a test registers goes with it."""
    from memenc.memory import MEMORIES

    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    path = tmp_path / "decayed_mean.py"
    path.write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    # A file that is changed within a second would be taken for what was compiled.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known, places = dict(MEMORIES), list(sys.path)
    importlib.invalidate_caches()
    yield path
    MEMORIES.clear()
    MEMORIES.update(known)
    sys.path[:] = places
    sys.modules.pop("decayed_mean", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"repeat with --seed {item.config.option.seed}"))
    return report
