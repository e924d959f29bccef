"""Masked language models: the backbone's own head, on token states that have seen the memory."""

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from memenc import MemencForMaskedLM, MemencForSequenceClassification, MemencModel
from memenc.training.settings import TrainingSettings
from memenc.training.trainer import parameter_groups
from tests.backbones import SEGMENT, tiny_backbone, tiny_config
from tests.memory.checks import SPECIAL, assert_close, tokens

KINDS = ("bert", "roberta", "distilbert", "electra", "albert", "modernbert")


def language_model(kind):
    model = AutoModelForMaskedLM.from_config(tiny_config(kind))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def with_memory(kind="bert", memory="windowed", **options):
    options = {"segment_length": SEGMENT, "memory_options": {"window": 8} if memory == "windowed" else None} | options
    return MemencForMaskedLM.from_backbone(language_model(kind), memory, **options)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_without_memory_it_is_the_backbone_s_language_model(kind, tmp_path):
    whole, ids = language_model(kind), tokens(2, SEGMENT)
    wanted = whole(ids, attention_mask=torch.ones_like(ids)).logits
    model = MemencForMaskedLM.from_backbone(whole, memory="none", segment_length=SEGMENT)
    assert_close(model(ids).logits, wanted, 1e-5)
    model.save_pretrained(tmp_path)
    for loader in (MemencForMaskedLM, AutoModelForMaskedLM):
        again = loader.from_pretrained(tmp_path)
        assert type(again) is MemencForMaskedLM and torch.equal(again(ids).logits, model(ids).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_head_and_embeddings_stay_tied(kind, tmp_path):
    model = with_memory(kind)
    model.save_pretrained(tmp_path)
    for one in (model, MemencForMaskedLM.from_pretrained(tmp_path)):
        assert one.get_output_embeddings().weight is one.get_input_embeddings().weight


@torch.no_grad()
def test_layers_are_given_where_they_are_asked_for():
    model, ids = with_memory(special_tokens=SPECIAL), tokens(2, 50)
    layers = model(ids, output_hidden_states=True).hidden_states
    wanted = model.memenc(ids, output_hidden_states=True).hidden_states
    assert len(layers) == 3 and all(torch.equal(got, want) for got, want in zip(layers, wanted, strict=True))
    assert model(ids).hidden_states is None


def test_loss_is_over_the_masked_tokens_alone():
    model, ids = with_memory(special_tokens=SPECIAL), tokens(2, 50)
    labels = torch.where(torch.rand(ids.shape) < 0.2, ids, -100)
    labels[0, 0] = ids[0, 0]
    with torch.no_grad():
        logits = model(ids).logits
    output = model(ids, labels=labels)
    wanted = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert_close(output.loss, wanted, 1e-5)
    assert_close(output.logits, logits[labels != -100], 1e-5)
    assert model(ids, labels=torch.full_like(ids, -100)).loss.item() == 0.0


def test_memory_parameters_learn_and_a_classifier_starts_from_them(tmp_path):
    model, ids = with_memory(special_tokens=SPECIAL), tokens(4, 50)
    model.train()(ids, labels=ids).loss.backward()
    assert model.memenc.encoder.memories[-1].window_bias.grad.abs().max() > 0
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    model.eval().save_pretrained(tmp_path)
    for head in (
        MemencForSequenceClassification.from_pretrained(tmp_path, num_labels=3).memenc,
        MemencModel.from_pretrained(tmp_path),
    ):
        with torch.no_grad():
            assert torch.equal(head(ids).last_hidden_state, model.memenc(ids).last_hidden_state)


def test_decoders_have_no_masked_language_model(tmp_path):
    from transformers import AutoModel

    AutoModel.from_config(tiny_config("llama")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no masked language model"):
        MemencForMaskedLM.from_backbone(str(tmp_path), segment_length=SEGMENT)


def test_an_encoder_without_its_head_is_refused():
    with pytest.raises(ValueError, match="without a head for masked tokens"):
        MemencForMaskedLM.from_backbone(tiny_backbone("bert"), "windowed", {"window": 4}, segment_length=8)


def test_pre_training_goes_on_from_its_own_folder(tmp_path):
    model = with_memory(memory="windowed")
    model.save_pretrained(tmp_path / "lm")
    again = with_memory_of(tmp_path / "lm")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    MemencForSequenceClassification.from_pretrained(tmp_path / "lm").save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="MemencForSequenceClassification, which has no head for masked tokens"):
        with_memory_of(tmp_path / "other")


def with_memory_of(folder):
    options = {"segment_length": SEGMENT, "memory_options": {"window": 8}}
    return MemencForMaskedLM.from_backbone(folder, "windowed", **options)


def test_a_head_that_the_backbone_did_not_bring_learns_at_the_rate_of_new_parameters(tmp_path):
    whole = language_model("bert")
    whole.save_pretrained(tmp_path / "whole")
    whole.base_model.save_pretrained(tmp_path / "encoder")
    rates = {}
    for name in ("whole", "encoder"):
        model = MemencForMaskedLM.from_backbone(tmp_path / name, "windowed", segment_length=SEGMENT)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups = parameter_groups(model, TrainingSettings(learning_rate=1e-5, new_learning_rate=1e-3))
        found = {names[id(x)]: group["lr"] for group in groups for x in group["params"]}
        rates[name] = {rate for inside, rate in found.items() if inside.startswith("language_model.")}
        assert {rate for inside, rate in found.items() if ".backbone." in inside} == {1e-5}
    assert rates == {"whole": {1e-5}, "encoder": {1e-3}}
