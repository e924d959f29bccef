"""Only the chosen layers have a memory, and the others are the plain backbone."""

import pytest
import torch

from memenc import MemencModel
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL


def model_with(layers):
    backbone = tiny_backbone("bert", num_hidden_layers=4)
    options = {**TINY_MEMORY, "initial_bias": 0.0}
    return MemencModel.from_backbone(backbone, memory_options=options, memory_layers=layers, **TINY_MODEL).double()


@pytest.mark.parametrize(("layers", "expected"), [("all", [0, 1, 2, 3]), ("upper_half", [2, 3]), ([1], [1]), ([], [])])
def test_state_is_kept_for_the_chosen_layers_only(layers, expected):
    model = model_with(layers)
    names = model.initial_memory(1).tensors
    assert sorted({int(name.split(".")[1]) for name in names if name.startswith("layers.")}) == expected


@torch.no_grad()
def test_no_layer_is_no_memory():
    model, ids = model_with([]), torch.randint(5, 50, (2, 70))
    read = model(ids).last_hidden_state
    model.config.memory, model.config.memory_options = "none", None
    plain = MemencModel(model.config, backbone=model.backbone).eval()
    assert (plain(ids).last_hidden_state - read).abs().max() < 1e-12


@torch.no_grad()
def test_schedules_agree_where_some_layers_have_memory():
    model, ids = model_with("upper_half"), torch.randint(5, 50, (2, 90))
    outputs = []
    for per_call in (1, 3, 10):
        model.config.segments_per_call = per_call
        outputs.append(model(ids).last_hidden_state)
    assert max((output - outputs[0]).abs().max() for output in outputs) < 1e-12


@pytest.mark.parametrize(("kind", "with_memory"), [("bert", [1]), ("modernbert", [1, 2]), ("llama", [0, 1])])
def test_only_memory_placed_by_position_is_in_every_layer_unasked(kind, with_memory):
    model = MemencModel.from_backbone(tiny_backbone(kind), memory_options=TINY_MEMORY, **TINY_MODEL)
    assert model.config.layers_with_memory() == with_memory


def test_refuses_layers_that_do_not_exist():
    with pytest.raises(ValueError, match="layers 0 to 3"):
        model_with([4])
    with pytest.raises(ValueError, match="upper_half"):
        model_with("lower_half")
