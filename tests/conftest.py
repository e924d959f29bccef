"""Seeds and environment shared by all tests."""

import os

# Both are read when transformers and tokenizers are imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import random

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"repeat with --seed {item.config.option.seed}"))
    return report
