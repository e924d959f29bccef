"""How contenders are trained: which parameter by whom and at which rate, when documents grow, and when it ends."""

import pytest
import torch
from torch import nn

from memenc.comparison import recipe as recipes
from memenc.comparison import training as trainings
from memenc.comparison.checkpoints import Checkpoints
from memenc.comparison.readers.build import reader_for
from memenc.comparison.readers.network import NotRun
from memenc.comparison.recipe import Curriculum, Recipe, optimizers_of, parameter_groups
from memenc.comparison.training import Training
from tests.comparison.tiny_cells import cell_of


def trained(cell, network, recipe):
    """How it went."""
    return Training(network, cell.new_task(), recipe, cell.seed_of).run(lambda _: None, Checkpoints(None, cell))


@pytest.mark.parametrize(("name", "kind"), [("windowed", "designs"), ("truncate-first", "baselines")])
def test_the_encoder_may_have_a_rate_of_its_own(name, kind):
    cell = cell_of(name, kind)
    network = reader_for(cell, cell.new_task()).network
    groups = parameter_groups(network, Recipe(learning_rate=1e-3, backbone_learning_rate=1e-5))
    slow = sum(x.numel() for group in groups if group["lr"] == 1e-5 for x in group["params"])
    encoder = network.model.memenc.encoder.backbone if kind == "designs" else network.encoder
    assert slow == sum(x.numel() for x in encoder.parameters()) > 0
    assert {group["lr"] for group in groups} >= {1e-3, 1e-5}


@pytest.mark.parametrize(("own", "rate"), [(None, 2e-3), (1e-5, 2e-3), (None, None)])
def test_every_parameter_is_updated_once(own, rate):
    cell = cell_of("windowed")
    network = reader_for(cell, cell.new_task()).network
    optimizers = optimizers_of(network, Recipe(backbone_learning_rate=own, matrix_learning_rate=rate))
    updated = [x for optimizer in optimizers for group in optimizer.param_groups for x in group["params"]]
    learning = [id(x) for x in network.parameters() if x.requires_grad]
    assert sorted(map(id, updated)) == sorted(learning)
    muon = [x for optimizer in optimizers[1:] for group in optimizer.param_groups for x in group["params"]]
    linear = {id(x.weight) for x in network.modules() if isinstance(x, nn.Linear) and x.weight.requires_grad}
    # Of an encoder with a rate of its own only the head is new.
    expected = {None: 0, 2e-3: len(linear) if own is None else 1}[rate]
    assert len(muon) == expected and set(map(id, muon)) <= linear


def test_gates_have_a_rate_of_their_own():
    cell = cell_of("windowed")
    network = reader_for(cell, cell.new_task()).network
    recipe = Recipe(learning_rate=1e-3, gate_learning_rate=1e-2)
    rates = {group["lr"]: sum(x.numel() for x in group["params"]) for group in parameter_groups(network, recipe)}
    assert set(rates) == {1e-3, 1e-2} and rates[1e-2] < 10 < rates[1e-3]


def test_documents_grow_when_they_are_mastered():
    curriculum = Curriculum(longest=9, mastered=0.9, seed=0)
    assert {curriculum.next() for _ in range(200)} == {3} and curriculum.hopeless
    for _ in range(100):
        curriculum.learn_from(2, 1.0)
    assert curriculum.now == 3
    for _ in range(100):
        curriculum.learn_from(curriculum.now, 1.0)
    assert curriculum.now == 9 and not curriculum.hopeless
    assert {curriculum.next() for _ in range(500)} == set(range(2, 10))
    curriculum = Curriculum(longest=9, mastered=0.9, seed=0, first=4)
    assert {curriculum.next() for _ in range(200)} == {4}
    curriculum = Curriculum(longest=9, mastered=0.9, seed=0, least=5)
    assert {curriculum.next() for _ in range(200)} == {5}
    curriculum.now = 9
    assert {curriculum.next() for _ in range(500)} == set(range(5, 10))


@pytest.mark.parametrize(("checks", "steps"), [(1, 2), (3, 5)])
def test_training_ends_after_so_many_perfect_validations(monkeypatch, checks, steps):
    accuracies = iter([0.5, 1.0, 1.0, 0.9, 1.0, 1.0])
    monkeypatch.setattr(trainings, "validated", lambda *_: next(accuracies))
    cell = cell_of("windowed")
    task = cell.new_task()
    recipe = Recipe(steps=6, segments=3, documents=4, check=1, perfect_checks=checks)
    facts = trained(cell, reader_for(cell, task).network, recipe)
    assert (facts["steps"], facts["best_step"], facts["validation_accuracy"]) == (steps, steps, 1.0)


@pytest.mark.parametrize(("segments", "lengths"), [(None, {3, 12}), (7, {3, 7})])
def test_validation_is_on_the_longest_trained_and_on_longer_documents(monkeypatch, segments, lengths):
    cell, seen = cell_of("windowed"), set()
    network = reader_for(cell, cell.new_task()).network

    def answers(ids, recipe):
        seen.add(ids.shape[1] // cell.new_task().segment_length)
        return ids[:, 0]

    monkeypatch.setattr(network, "answers", answers)
    recipe = Recipe(segments=3, validation_documents=4, validation_segments=segments)
    recipes.validated(network, cell.new_task(), 3, recipe, seed=0)
    assert seen == lengths


def test_validation_on_shorter_documents_than_trained_is_refused():
    with pytest.raises(ValueError, match=r"validation_segments=16; give at least .* \(17\)"):
        Recipe(validation_segments=16)


def test_the_average_of_the_weights_is_what_is_tested():
    """0.9 of what was, a tenth of what is new; the training itself takes no notice of it."""
    cell = cell_of("windowed")
    task = cell.new_task()

    def weights_after(weight_average, steps=4):
        torch.manual_seed(0)
        network = reader_for(cell, task).network
        recipe = Recipe(steps=steps, segments=3, documents=4, check=steps, weight_average=weight_average)
        trained(cell, network, recipe)
        return {name: value.detach().clone() for name, value in network.named_parameters()}

    steps = [weights_after(None, count) for count in (1, 2, 3, 4)]
    averaged = weights_after(0.9)
    for name, value in averaged.items():
        expected = steps[0][name]
        for step in steps[1:]:
            expected = 0.9 * expected + 0.1 * step[name]
        assert torch.allclose(value, expected, atol=1e-6), name
    assert any(not torch.equal(averaged[name], steps[-1][name]) for name in averaged)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2.0])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match="between 0 and 1, or null"):
        Recipe(weight_average=decay)


def test_who_cannot_read_what_it_would_be_trained_on_is_not_run(monkeypatch):
    cell = cell_of("windowed")
    network = reader_for(cell, cell.new_task()).network
    monkeypatch.setattr(network, "why_not", lambda segments: f"{segments} are too many")
    with pytest.raises(NotRun, match="training documents of 3 segments: 3 are too many"):
        Training(network, cell.new_task(), Recipe(steps=2, segments=3), cell.seed_of)
