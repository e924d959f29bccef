"""A comparison whose numbers are made up, so that everything round the training can be tested in no time."""

import os
import time
from pathlib import Path

from memenc.comparison.readers.network import NotRun
from memenc.comparison.settings import ComparisonSettings
from memenc.comparison.statistics import Score

VALUES = {
    "tasks": ["memorize"],
    "designs": ["none", "windowed", "linear"],
    "baselines": ["truncate-first"],
    "published": ["titans-pytorch"],
    "budgets": [2100],
    "seeds": [0, 1],
    "lengths": [2, 8],
}


def settings(**changes):
    return ComparisonSettings.of(VALUES | changes)


def made_up(cell, tell):
    """One row per length; published models are not installed, and what the environment says goes wrong."""
    if cell.contender.kind == "published":
        raise NotRun("not installed: pip install it")
    if cell.contender.name == os.environ.get("FAILING"):
        raise RuntimeError("out of luck")
    if cell.contender.name == os.environ.get("DYING"):
        os._exit(9)
    if cell.contender.name == os.environ.get("STAYING"):
        Path(os.environ["PLACE"]).write_text(str(os.getpid()))
        time.sleep(600)
    tell(0.5)
    rows = [
        {"segments": segments, "tokens": 16 * segments, "documents": 100, "right": 90, "accuracy": 0.9}
        | {"state_bytes": 0 if cell.budget is None else 2000, "tokens_per_second": 1000, "peak_bytes": 10}
        for segments in cell.lengths
    ]
    return {"chance": 0.25, "flops_per_token": 100.0, "parameters": 7, "rows": rows, "environment": {"cpu": "a box"}}


def score(contender, accuracy, segments=8, **changes):
    """A score by hand."""
    facts = {
        "task": "memorize",
        "contender": contender,
        "kind": "memory",
        "budget": None if contender == "none" else 2100,
        "segments": segments,
        "tokens": 16 * segments,
        "seeds": 3,
        "accuracy": accuracy,
        "error": 0.02,
        "not_run": "",
        "chance": 0.25,
        "costs": {"state_bytes": 2000.0, "flops_per_token": 100.0},
    }
    return Score(**(facts | changes))


def with_designs(*names):
    return settings(designs=list(names), baselines=[], published=[], lengths=[2, 8])
