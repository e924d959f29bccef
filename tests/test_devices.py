"""Where tensors lie: all of a model on the device of its backbone; no copies of it that know no memory."""

import pytest
import torch

from memenc import MemencForSequenceClassification, MemencModel
from memenc.training import run
from memenc.training.settings import TrainingSettings
from tests.backbones import tiny_backbone
from tests.memory.checks import build, tokens


@pytest.mark.parametrize("kind", (MemencModel, MemencForSequenceClassification))
@pytest.mark.parametrize("memory", ("compressive", "gated", "associative", "tokens"))
def test_memory_goes_where_the_backbone_is(kind, memory, monkeypatch):
    backbone, moved = tiny_backbone(), []
    monkeypatch.setattr(kind, "to", lambda self, device: moved.append(device) or self)
    kind.from_backbone(backbone, memory=memory, segment_length=16)
    assert moved == [backbone.device]


def test_accelerators_that_were_never_tried_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for device in (None, "cpu"):
        assert run._arguments(TrainingSettings(), tmp_path, None, False, device).use_cpu


def test_copies_of_data_parallel_are_refused():
    model = build("windowed_one_segment")
    (replica,) = [model._replicate_for_data_parallel()]
    with pytest.raises(ValueError, match="one process per GPU with torchrun"):
        replica(tokens(2, 9))


def test_losses_are_means_over_the_layers_that_have_a_memory():
    ids, losses = tokens(2, 80), {}
    torch.manual_seed(0)
    model = build("compressive_reconstruction").train()
    for layers in ("all", [0], [1]):
        part = build("compressive_reconstruction", memory_layers=layers).train()
        known = part.state_dict()
        part.load_state_dict({name: value for name, value in model.state_dict().items() if name in known}, strict=False)
        losses[str(layers)] = float(part(ids).auxiliary_loss.detach())
    # The second layer alone sees other states than behind a first that remembers.
    assert (losses["[0]"] + losses["[1]"]) / 2 == pytest.approx(losses["all"], rel=0.2)
