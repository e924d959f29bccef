"""A training that was killed goes on from its checkpoint, to the bit what it would have been."""

import pytest
import torch

from memenc.comparison import checkpoints, compare
from memenc.comparison.cells import cells_of
from memenc.comparison.checkpoints import packed, unpacked
from memenc.comparison.training import Training
from memenc.comparison.weights import WeightStore
from tests.comparison.made_up import settings
from tests.comparison.test_weights import rows_of
from tests.comparison.tiny_cells import TINY

# So many documents that one is right by accident, and they grow.
GROWING = {"documents": 64, "segments": 9, "mastered": 1e-9, "first_segments": 2}
RECIPE = TINY["training"] | {"steps": 9, "check": 2, "warm_up": 5} | GROWING


def tiny(**changes):
    return settings(**{"designs": ["associative"], "baselines": [], **TINY, "training": RECIPE} | changes)


@pytest.fixture
def steps(monkeypatch):
    """The steps that were taken; every check is followed by a checkpoint, and after so many a kill."""

    class Steps(list):
        kill_after = None

    taken, learn = Steps(), Training._learn

    def counted(training):
        if len(taken) == taken.kill_after:
            raise KeyboardInterrupt
        learn(training)
        taken.append(training.step)

    monkeypatch.setattr(Training, "_learn", counted)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 0.0)
    return taken


def weights_of(folder, chosen):
    (cell,) = cells_of(chosen)
    return WeightStore(folder).kept(cell)[0]


def killed(folder, chosen, steps, after):
    steps.clear()
    steps.kill_after = after
    with pytest.raises(KeyboardInterrupt):
        compare(chosen, folder)
    steps.kill_after = None
    steps.clear()


@pytest.mark.parametrize("training", [{}, {"weight_average": None, "matrix_learning_rate": None}])
def test_what_goes_on_is_what_would_have_been(tmp_path, steps, training):
    chosen = tiny(training=RECIPE | training)
    whole = compare(chosen, tmp_path / "whole")
    killed(tmp_path / "killed", chosen, steps, after=5)
    assert len(list((tmp_path / "killed" / "trainings").iterdir())) == 1
    found = compare(chosen, tmp_path / "killed")
    assert steps == [5, 6, 7, 8, 9], "from the checkpoint after four steps"
    assert rows_of(found) == rows_of(whole) and len({row["best_step"] for row in found.records}) == 1
    left, right = (weights_of(tmp_path / name, chosen) for name in ("killed", "whole"))
    assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
    assert not list((tmp_path / "killed" / "trainings").iterdir()), "a finished training needs no checkpoint"


def test_a_damaged_or_foreign_checkpoint_is_not_taken(tmp_path, steps):
    chosen = tiny()
    whole = compare(chosen, tmp_path / "whole")
    killed(tmp_path / "killed", chosen, steps, after=5)
    (path,) = (tmp_path / "killed" / "trainings").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert rows_of(compare(chosen, tmp_path / "killed")) == rows_of(whole) and steps[0] == 1
    # Another training has a checkpoint of its own.
    killed(tmp_path / "other", chosen, steps, after=5)
    compare(tiny(seeds=[1]), tmp_path / "other")
    assert steps[0] == 1 and len(list((tmp_path / "other" / "trainings").iterdir())) == 1


def test_nothing_is_kept_of_a_short_training(tmp_path):
    compare(tiny(), tmp_path)
    assert not (tmp_path / "trainings").exists()


def test_what_was_packed_comes_back():
    state = {"a": [1, (2.5, None, torch.ones(2))], 3: {"b": (), "tensor": [torch.zeros(1)]}, "c": "text", "d": True}
    tensors = {}
    found = unpacked(packed(state, tensors), tensors)
    assert len(tensors) == 2 and str(found) == str(state)
