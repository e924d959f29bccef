"""Kept weights: a kill while testing and further test lengths cost no training; other weights are not taken."""

import pytest
import torch
from safetensors.torch import load_file, save_file

import memenc.comparison.measure
from memenc.comparison import compare
from memenc.comparison.cells import cells_of
from memenc.comparison.readers.base import NetworkReader
from memenc.comparison.weights import WeightStore
from tests.comparison.made_up import settings
from tests.comparison.tiny_cells import TINY

TIMES = ("tokens_per_second", "training_seconds", "date")


def tiny(**changes):
    chosen = {"designs": ["linear"], "baselines": [], **TINY}
    return settings(**chosen | changes)


def rows_of(comparison):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in comparison.records]


@pytest.fixture
def trainings(monkeypatch):
    """Cells that were trained."""
    cells, train = [], NetworkReader.train

    def counted(reader, tell, checkpoints):
        cells.append(reader.cell)
        return train(reader, tell, checkpoints)

    monkeypatch.setattr(NetworkReader, "train", counted)
    return cells


@pytest.mark.parametrize(
    "changes",
    [
        {"lengths": [2, 5, 9]},
        {"tasks": [{"name": "rewrite", "lengths": [4, 5]}]},
        {"testing": TINY["testing"] | {"documents": 32, "fewest_documents": 16}},
    ],
)
def test_other_tests_cost_no_training_and_give_the_same(trainings, tmp_path, changes):
    compare(tiny(), tmp_path / "kept")
    again = compare(tiny(**changes), tmp_path / "kept")
    assert len(trainings) == 1
    assert rows_of(again) == rows_of(compare(tiny(**changes), tmp_path / "fresh")) and len(trainings) == 2


def test_after_a_kill_while_testing_nothing_is_trained_again(trainings, tmp_path, monkeypatch):
    tested = memenc.comparison.measure.tested

    def killed(cell, reader, task, segments, progress):
        if segments == 5:
            raise KeyboardInterrupt
        return tested(cell, reader, task, segments, progress)

    with monkeypatch.context() as patch:
        patch.setattr(memenc.comparison.measure, "tested", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(tiny(), tmp_path / "killed")
    found = compare(tiny(), tmp_path / "killed")
    assert len(trainings) == 1 and rows_of(found) == rows_of(compare(tiny(), tmp_path / "whole"))


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"training": TINY["training"] | {"documents": 5}},
        {"encoder": TINY["encoder"] | {"layers": 3}},
        {"designs": [{"name": "linear", "memory": "linear", "options": {"rule": "linear"}}]},
    ],
)
def test_what_trains_otherwise_is_trained(trainings, tmp_path, changes):
    compare(tiny(), tmp_path)
    compare(tiny(**changes), tmp_path)
    assert len(trainings) == 2


def test_damaged_and_foreign_weights_are_not_taken(trainings, tmp_path):
    compare(tiny(), tmp_path / "first")
    (cell,) = cells_of(tiny())
    store = WeightStore(tmp_path / "first")
    weights, facts = store.kept(cell)
    # They lie in the file, which is overwritten now.
    weights = {name: weight.clone() for name, weight in weights.items()}
    path, kept = store.path(cell), store.path(cell).read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert store.kept(cell) is None
    path.write_bytes(kept[:-9])
    assert store.kept(cell) is None
    save_file(load_file_of(kept, tmp_path), path)
    assert store.kept(cell) is None
    # Whole, and of code from before: a weight has another size.
    name = next(iter(weights))
    store.keep(cell, weights | {name: torch.zeros(3, 1)}, facts)
    for found in (tmp_path / "first" / "cells").iterdir():
        found.unlink()
    found = compare(tiny(), tmp_path / "first")
    assert len(trainings) == 2 and rows_of(found) == rows_of(compare(tiny(), tmp_path / "second"))
    assert all(torch.equal(weight, store.kept(cell)[0][name]) for name, weight in weights.items())


def load_file_of(content, folder):
    (folder / "copy.safetensors").write_bytes(content)
    return load_file(folder / "copy.safetensors")


def test_weights_of_finished_cells_can_be_dropped(tmp_path):
    compare(tiny(), tmp_path, keep_weights=False)
    assert not list((tmp_path / "weights").iterdir())
    compare(tiny(), tmp_path / "kept")
    assert len(list((tmp_path / "kept" / "weights").iterdir())) == 1
    # Of cells that were finished before, too.
    compare(tiny(), tmp_path / "kept", keep_weights=False, finished_only=True)
    assert not list((tmp_path / "kept" / "weights").iterdir())
    found = compare(tiny(designs=[], baselines=["tf-idf"]), tmp_path)
    assert not found.failed and not list((tmp_path / "weights").iterdir())
