"""Token states of every layer, and a readout of chosen layers."""

import pytest
import torch

from memenc import (
    MemencForQuestionAnswering,
    MemencForSequenceClassification,
    MemencForTokenClassification,
    MemencModel,
)
from tests.backbones import BACKBONES, HIDDEN, tiny_backbone
from tests.memory.checks import CAPACITY, SPECIAL, assert_close, build, documents_of, feed, ragged, tokens

# Zeros stand where there is padding.
LENGTHS = (3 * CAPACITY + 2, 5, 0)


@pytest.mark.parametrize("kind", BACKBONES)
@torch.no_grad()
def test_layers_are_those_of_the_backbone(kind):
    model = build("none", kind, special_tokens=None)
    ids = tokens(2, 11)
    output = model(ids, output_hidden_states=True)
    wanted = model.backbone(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states
    assert len(output.hidden_states) == len(wanted) == len(model.config.attention_layers) + 1
    for got, want in zip(output.hidden_states, wanted, strict=True):
        assert_close(got, want, 1e-5)
    assert model(ids).hidden_states is None


@pytest.mark.parametrize("design", ("compressive_mean", "tokens"))
@torch.no_grad()
def test_layers_have_a_row_for_every_token(design):
    model = build(design)
    ids, mask = ragged(documents_of(*LENGTHS))
    output = model(ids, mask, output_hidden_states=True)
    assert [tuple(layer.shape) for layer in output.hidden_states] == [(*ids.shape, HIDDEN)] * 3
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert all(not layer[~mask.bool()].any() for layer in output.hidden_states)
    model.config.segments_per_call = 3
    if design != "tokens":
        for got, want in zip(
            model(ids, mask, output_hidden_states=True).hidden_states, output.hidden_states, strict=True
        ):
            assert_close(got, want, 1e-5)


@torch.no_grad()
def test_the_readout_is_the_mean_of_the_chosen_layers(tmp_path):
    options = {"special_tokens": SPECIAL, "segment_length": 16, "readout": "mean", "memory_options": {"window": 8}}
    model = MemencModel.from_backbone(tiny_backbone(), "windowed", readout_layers=[0, -2], **options)
    ids = tokens(2, 5)
    chosen = model(ids, output_hidden_states=True)
    rows = torch.cat([torch.full((2, 1), 3), ids, torch.full((2, 1), 4)], dim=1)
    layers = model.backbone(rows, attention_mask=torch.ones_like(rows), output_hidden_states=True).hidden_states
    assert_close(chosen.pooler_output, (layers[0] + layers[-2]).mean(1) / 2, 1e-5)
    assert_close(chosen.last_hidden_state, chosen.hidden_states[-1], 0.0)
    model.save_pretrained(tmp_path)
    again = MemencModel.from_pretrained(tmp_path)
    assert torch.equal(again(ids).pooler_output, chosen.pooler_output) and again.config.readout_layers == [0, -2]


@torch.no_grad()
def test_chosen_layers_are_read_the_same_in_pieces():
    model, ids = build("compressive_mean", readout_layers=[1, 2]), tokens(2, 60)
    vector, _ = feed(model, [row.split(13) for row in ids])
    assert_close(vector, model(ids).pooler_output, 1e-5)
    other = build("compressive_mean")
    with pytest.raises(ValueError, match="another model or configuration"):
        other(ids, memory=model(ids).memory)


@pytest.mark.parametrize("layers", ([], [3], [-4], ["last"]))
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(ValueError, match="readout_layers"):
        build("none", readout_layers=layers)


def test_a_classifier_trains_on_chosen_layers():
    model = build("none", model_class=MemencForSequenceClassification, readout_layers=[1], num_labels=2)
    model(tokens(2, 40), labels=torch.tensor([0, 1])).loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if ".layer." in name}
    assert any(grad is not None and grad.any() for name, grad in gradients.items() if ".layer.0." in name)
    assert not any(grad is not None and grad.any() for name, grad in gradients.items() if ".layer.1." in name)


HEADS = {
    "sequence classification": (MemencForSequenceClassification, {}),
    "token classification": (MemencForTokenClassification, {}),
    "question answering": (MemencForQuestionAnswering, {"question_ids": torch.tensor([[7, 8], [9, 10]])}),
}


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_heads_give_the_layers_of_what_they_read(head):
    kind, asked = HEADS[head]
    model, ids = build("compressive_mean", model_class=kind, num_labels=2), tokens(2, 40)
    assert model(ids, **asked).hidden_states is None
    layers = model(ids, output_hidden_states=True, **asked).hidden_states
    wanted = model.memenc(ids, output_hidden_states=True, **asked).hidden_states
    assert len(layers) == 3 and all(torch.equal(got, want) for got, want in zip(layers, wanted, strict=True))
    model.config.output_hidden_states = True
    assert torch.equal(model(ids, **asked).hidden_states[1], wanted[1])


@torch.no_grad()
def test_questions_behind_the_document_have_no_layers_of_it():
    model = build("none", model_class=MemencForQuestionAnswering, num_labels=2, question_position="last")
    asked = {"question_ids": tokens(2, 3)}
    with pytest.raises(ValueError, match=r"model\.memenc"):
        model(tokens(2, 40), output_hidden_states=True, **asked)
    model.config.output_hidden_states = True
    assert model(tokens(2, 40), **asked).hidden_states is None
