"""Heads on models that were saved without them: every parameter that no file holds has a start of its own."""

import pytest
import torch
from torch import nn

from memenc import MemencModel
from memenc.readout import READOUTS
from memenc.tasks import (
    MemencForMultipleChoice,
    MemencForQuestionAnswering,
    MemencForSequenceClassification,
    MemencForTextPairs,
    MemencForTokenClassification,
)
from tests.memory.checks import enliven
from tests.memory.designs import DESIGNS
from tests.tiny import TINY_MEMORY, TINY_MODEL, save_tiny_backbone

HEADS = {
    "classification": (MemencForSequenceClassification, {"num_labels": 3}),
    "words": (MemencForTokenClassification, {"num_labels": 3}),
    "spans": (MemencForQuestionAnswering, {}),
    "labels": (MemencForQuestionAnswering, {"question_position": "last", "num_labels": 3}),
    "options": (MemencForMultipleChoice, {}),
    "pairs": (MemencForTextPairs, {"pair_loss": "classification", "num_labels": 3}),
}


@pytest.fixture
def backbone(tmp_path):
    return save_tiny_backbone(tmp_path / "backbone")


@pytest.mark.parametrize("head", HEADS)
def test_a_head_on_a_model_that_was_saved_without_it(head, backbone, tmp_path):
    model = MemencModel.from_backbone(backbone, memory_options=TINY_MEMORY, **TINY_MODEL)
    enliven(model)
    model.save_pretrained(tmp_path / "model")
    kind, options = HEADS[head]
    made = kind.from_backbone(str(tmp_path / "model"), memory_options=TINY_MEMORY, **TINY_MODEL, **options)
    fresh = kind.from_backbone(backbone, memory_options=TINY_MEMORY, **TINY_MODEL, **options)
    inside = dict(model.named_parameters())
    for (name, found), (other, wanted) in zip(made.named_parameters(), fresh.named_parameters(), strict=True):
        assert name == other and found.shape == wanted.shape
        if name.removeprefix("memenc.") in inside:
            assert torch.equal(found, inside[name.removeprefix("memenc.")]), name
        elif wanted.dim() == 1 or torch.equal(wanted, torch.eye(*wanted.shape)):
            assert torch.equal(found, wanted), name
        else:
            # Of 32 numbers, the spread is itself a matter of luck.
            most = 2 if wanted.numel() > 100 else 4
            assert 1 / most < found.std().item() / wanted.std().item() < most, name


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("design", DESIGNS)
def test_initialisation_reaches_every_parameter(design, readout, backbone):
    memory, options = DESIGNS[design].memory, DESIGNS[design].options
    head, more = HEADS["labels"]
    made = head.from_backbone(
        backbone, memory=memory, memory_options=options, readout=readout, learned_start=True, segment_length=16, **more
    )
    ours = [name for name, _ in made.named_parameters() if ".backbone." not in name]
    parameters = dict(made.named_parameters())
    for name in ours:
        nn.init.constant_(parameters[name], torch.nan)
    for name, module in made.named_modules():
        if "backbone" not in name.split("."):
            made._init_weights(module)
    assert not [name for name in ours if parameters[name].isnan().any()]


@pytest.mark.parametrize("design", DESIGNS)
def test_a_learned_start_may_be_put_before_a_trained_memory(design, backbone, tmp_path):
    memory, options = DESIGNS[design].memory, DESIGNS[design].options
    asked = {"memory": memory, "memory_options": options, "segment_length": 16}
    model = MemencModel.from_backbone(backbone, **asked)
    enliven(model)
    model.save_pretrained(tmp_path / "model")
    made = MemencModel.from_backbone(str(tmp_path / "model"), **asked, learned_start=True)
    found = {name.replace(".memory.", ".", 1): value for name, value in made.named_parameters()}
    for name, value in model.named_parameters():
        assert torch.equal(found.pop(name), value), name
    assert {name.rpartition(".")[2] for name in found} <= {"start_keys", "start_values"}
    assert all(0.01 < value.std().item() < 0.04 for value in found.values())
    assert_saved_whole(made, tmp_path / "made")


def assert_saved_whole(model, folder):
    """What is loaded has every parameter that was saved, and gives the same."""
    model.save_pretrained(folder)
    again, ids = type(model).from_pretrained(folder), torch.randint(5, 40, (2, 50))
    assert again.config.learned_start == model.config.learned_start
    wanted = dict(model.named_parameters())
    for name, value in again.named_parameters():
        assert torch.equal(value, wanted.pop(name)), name
    assert not wanted and torch.equal(again(ids)[0], model(ids)[0])


@pytest.mark.parametrize("labels", (2, 3))
def test_a_learned_start_is_saved_with_the_head(labels, backbone, tmp_path):
    asked = {"memory": "gated", "memory_options": {"slots": 4}, **TINY_MODEL}
    model = MemencForSequenceClassification.from_backbone(backbone, num_labels=2, **asked)
    enliven(model)
    model.save_pretrained(tmp_path / "model")
    # Other labels begin with another head.
    options = {**asked, "num_labels": labels, "learned_start": True}
    made = MemencForSequenceClassification.from_backbone(tmp_path / "model", **options)
    assert made.memenc.encoder.memories[-1].start_keys.abs().max() > 0
    assert_saved_whole(made, tmp_path / "made")


def test_going_on_with_a_trained_memory_asks_for_the_same_in_any_words(backbone, tmp_path):
    within = {"memory": "windowed+linear", "segment_length": 16, "memory_options": {"budget_bytes": 40_000}}
    MemencModel.from_backbone(backbone, **within).save_pretrained(tmp_path / "model")
    for options in (within, within | {"memory_options": None}):
        again = MemencModel.from_backbone(str(tmp_path / "model"), **options)
        assert again.config.memory_options["windowed"]["window"] > 16
    with pytest.raises(ValueError, match=r"was trained with memory_options=.*asked for: .*'window': 3"):
        MemencModel.from_backbone(str(tmp_path / "model"), **within | {"memory_options": {"windowed": {"window": 3}}})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MemencForTokenClassification, {"num_labels": 2}),
        (MemencForSequenceClassification, {"num_labels": 3}),
        (MemencForSequenceClassification, {"num_labels": 2, "id2label": {0: "old", 1: "new"}}),
        (MemencForSequenceClassification, {"num_labels": 2, "problem_type": "multi_label_classification"}),
    ],
)
def test_another_task_or_other_labels_begin_with_a_head_of_their_own(kind, options, backbone, tmp_path):
    model = MemencForSequenceClassification.from_backbone(
        backbone, memory_options=TINY_MEMORY, num_labels=2, problem_type="single_label_classification", **TINY_MODEL
    )
    enliven(model)
    model.save_pretrained(tmp_path / "model")
    made = kind.from_backbone(tmp_path / "model", memory_options=TINY_MEMORY, **TINY_MODEL, **options)
    assert made.classifier.weight.shape == (options["num_labels"], model.classifier.weight.shape[1])
    assert not torch.equal(made.classifier.weight[0], model.classifier.weight[0]) and not made.classifier.bias.any()
    inside = model.memenc.state_dict()
    assert all(torch.equal(value, inside[name]) for name, value in made.memenc.state_dict().items())
    # The same task goes on with the head it had; after a way through a file, too.
    made.save_pretrained(tmp_path / "again")
    again = kind.from_backbone(tmp_path / "again", memory_options=TINY_MEMORY, **TINY_MODEL, **options)
    assert torch.equal(again.classifier.weight, made.classifier.weight)


def test_a_memenc_folder_is_loaded_in_the_type_that_is_asked_for(backbone, tmp_path):
    MemencModel.from_backbone(backbone, memory_options=TINY_MEMORY, **TINY_MODEL).save_pretrained(tmp_path / "model")
    asked = {"memory_options": TINY_MEMORY, "backbone_options": {"dtype": torch.bfloat16}, **TINY_MODEL}
    for kind in (MemencModel, MemencForSequenceClassification):
        assert kind.from_backbone(tmp_path / "model", **asked).dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"backbone_options add_pooling_layer: .* is a memenc model"):
        MemencModel.from_backbone(tmp_path / "model", **asked | {"backbone_options": {"add_pooling_layer": False}})
