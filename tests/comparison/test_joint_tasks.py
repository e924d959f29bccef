"""Tasks that are trained as one: beside their mean, each has numbers of its own, from training to the report."""

import csv
import re

import pytest
import torch

from memenc.comparison.recipe import answered
from memenc.comparison.run import compare
from memenc.data.memory_tasks import MEMORY_TASKS
from tests.comparison.made_up import made_up, settings

TWO = {"name": "both", "task": "babi", "options": {"segment_length": 9, "tasks": ["babi2", "babi5"]}}
TINY = {
    "tasks": [TWO],
    "designs": ["none"],
    "baselines": [],
    "published": [],
    "seeds": [0],
    "lengths": [4, 9],
    "encoder": {"layers": 2, "hidden": 16, "heads": 2},
    "training": {"steps": 2, "segments": 4, "documents": 4, "check": 1, "validation_documents": 4},
    "testing": {"documents": 65, "tokens": 65 * 9 * 9},
}


def test_answers_are_told_apart_by_the_task_they_belong_to():
    task = MEMORY_TASKS["babi"](9, tasks=["babi2", "babi5"])
    people = torch.tensor([name in MEMORY_TASKS["babi5"]().classes for name in task.classes])
    labels = task.batch(torch.Generator().manual_seed(3), 128, 4)[1]
    # Right on the second task alone.
    right, parts = answered(lambda ids: torch.where(people[labels], labels, -1), task, 4, 128, 3)
    assert parts.bincount().tolist() == [64, 64]
    assert right[parts == 1].all() and not right[parts == 0].any()
    assert answered(lambda ids: torch.zeros(len(ids)), MEMORY_TASKS["babi1"](), 4, 300, 0)[1].tolist() == [0] * 300


def test_every_task_has_rows_and_tables_of_its_own(tmp_path):
    compare(settings(**TINY), tmp_path)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_task = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    assert list(by_task) == ["both", "both, babi2", "both, babi5"]
    for mean, *parts in zip(*by_task.values(), strict=True):
        assert [int(part["documents"]) for part in parts] == [33, 32]
        assert sum(int(part["right"]) for part in parts) == int(mean["right"])
        assert {part["segments"] for part in parts} == {mean["segments"]}
    chances = [float(each[0]["chance"]) for each in by_task.values()]
    assert chances[0] == pytest.approx(sum(chances[1:]) / 2) and "parts" not in rows[0]
    report = (tmp_path / "report.md").read_text()
    assert re.findall(r"^### (both.*), memories of", report, re.MULTILINE) == list(by_task)
    drawn = sorted(path.name for path in (tmp_path / "plots").glob("accuracy_*"))
    assert len(drawn) == 3 and all("both" in name for name in drawn)


def test_a_contender_that_is_not_run_has_rows_for_every_task(tmp_path):
    compare(settings(**TINY | {"published": ["titans-pytorch"], "designs": []}), tmp_path, work=made_up)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["task"] for row in rows} == {"both", "both, babi2", "both, babi5"}
    assert all(row["not_run"].startswith("not installed") for row in rows)
