"""What is saved comes back bit for bit: models, heads, configurations and states."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from memenc import MemencConfig, MemencForSequenceClassification, MemencModel, MemoryState
from memenc.storage.files import CHECKSUMS
from tests.backbones import BACKBONES, SEGMENT, VOCABULARY, tiny_backbone
from tests.memory.checks import (
    CAPACITY,
    SPECIAL,
    assert_states_equal,
    build,
    check_a_saved_model_is_the_same,
    documents_of,
    ragged,
    tokens,
)
from tests.memory.designs import DESIGNS
from tests.tiny import save_tiny_backbone

every_design = pytest.mark.parametrize("design", DESIGNS)
every_backbone = pytest.mark.parametrize("kind", BACKBONES)


def assert_same_numbers(left, right):
    ids, mask = ragged(documents_of(3 * CAPACITY + 2, 5, 0))
    with torch.no_grad():
        got, wanted = left(ids, mask), right(ids, mask)
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])
    assert_states_equal(got.memory, wanted.memory)


def types_of(memory):
    return {name: tensor.dtype for name, tensor in memory.tensors.items()}


@every_design
def test_the_state_of_one_document_comes_back(design, tmp_path):
    model = build(design)
    memory = model(tokens(1, 3 * CAPACITY + 2)).memory
    memory.save(tmp_path / "state")
    assert_states_equal(MemoryState.load(tmp_path / "state"), memory)


@every_design
def test_a_saved_model_gives_the_same_numbers(design, tmp_path):
    check_a_saved_model_is_the_same(build(design), tmp_path)


@every_backbone
def test_every_backbone_is_saved_and_loaded(kind, tmp_path):
    model = build("compressive_convolution", kind)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is MemencModel and type(again.backbone) is type(model.backbone)
    # Buffers that are not saved, such as rotary frequencies, must come back as well.
    for (name, buffer), (_, wanted) in zip(again.named_buffers(), model.named_buffers(), strict=True):
        assert torch.equal(buffer, wanted), name
    assert_same_numbers(again, model)


def classifier(design="compressive_learned_query", **options):
    return build(design, model_class=MemencForSequenceClassification, num_labels=3, **options)


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits


def test_a_saved_head_gives_the_same_numbers(tmp_path):
    model, ids = classifier(), tokens(2, 3 * CAPACITY + 2)
    model.save_pretrained(tmp_path)
    for loader in (MemencForSequenceClassification, AutoModelForSequenceClassification):
        again = loader.from_pretrained(tmp_path)
        assert type(again) is MemencForSequenceClassification and again.config.num_labels == 3
        assert torch.equal(logits(again, ids), logits(model, ids))


def test_the_base_of_a_head_and_a_head_on_a_base(tmp_path):
    model, ids = classifier(), tokens(2, 3 * CAPACITY + 2)
    model.save_pretrained(tmp_path / "head")
    base = MemencModel.from_pretrained(tmp_path / "head")
    assert torch.equal(base(ids).pooler_output, model.memenc(ids).pooler_output)
    base.save_pretrained(tmp_path / "base")
    fresh = MemencForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=5)
    assert torch.equal(fresh.memenc(ids).pooler_output, base(ids).pooler_output)
    assert logits(fresh, ids).shape == (2, 5) and fresh.classifier.weight.abs().max() > 0
    assert not fresh.classifier.bias.any()


def test_loaded_weights_are_those_of_the_backbone():
    backbone = tiny_backbone()
    wanted = {name: parameter.clone() for name, parameter in backbone.named_parameters() if "pooler" not in name}
    for model_class in (MemencModel, MemencForSequenceClassification):
        model = model_class.from_backbone(backbone, memory="windowed", segment_length=SEGMENT)
        found = dict(model.base_model.backbone.named_parameters())
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_backbone_is_loaded_by_path(tmp_path):
    backbone, ids = tiny_backbone(), tokens(2, 40)
    backbone.save_pretrained(tmp_path)
    torch.manual_seed(1)
    by_path = MemencModel.from_backbone(str(tmp_path), memory="windowed", segment_length=SEGMENT).eval()
    torch.manual_seed(1)
    by_model = MemencModel.from_backbone(backbone, memory="windowed", segment_length=SEGMENT).eval()
    assert torch.equal(by_path(ids).pooler_output, by_model(ids).pooler_output)


def test_a_model_from_its_configuration_alone_has_the_same_shape():
    model = build("compressive_convolution")
    torch.manual_seed(2)
    again = AutoModel.from_config(MemencConfig.from_dict(model.config.to_dict()))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in again.state_dict().items()} == shapes
    memory = again.encoder.memories[0]
    assert torch.allclose(memory.slot_bias, torch.full_like(memory.slot_bias, memory.initial_bias))
    assert again.backbone.get_input_embeddings().weight.std() < 0.05


@torch.no_grad()
def test_a_larger_vocabulary_is_saved_with_the_model(tmp_path):
    model, ids = build("windowed_one_segment"), torch.full((1, 20), VOCABULARY + 2)
    model.resize_token_embeddings(VOCABULARY + 5, mean_resizing=False)
    wanted = model(ids)
    model.save_pretrained(tmp_path)
    again = MemencModel.from_pretrained(tmp_path)
    assert torch.allclose(again(ids).pooler_output, wanted.pooler_output, atol=1e-6)


def test_the_configuration_survives_a_round_trip(tmp_path):
    config = build("compressive_convolution", "modernbert", readout="attention", document_queries=2).config
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is MemencConfig
    for name in config.to_dict().keys() - {"transformers_version", "_name_or_path"}:
        assert getattr(again, name) == getattr(config, name), name
    assert not any(key.startswith("_") for key in again.backbone)


def changed_configuration(folder, change):
    """Change the configuration of a saved model as somebody would who knows what to delete."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


NAMING_CODE = {
    "private": lambda content: content["backbone"].update(_attn_implementation_internal="someone/kernel"),
    "nested": lambda content: content["backbone"].update(extra={"list": [{"_attn_implementation": "someone/kernel"}]}),
    "auto_map": lambda content: content["backbone"].update(auto_map={"AutoModel": "code--evil.Model"}),
    "attn_implementation": lambda content: content["backbone"].update(attn_implementation="someone/kernel"),
    "unknown": lambda content: content["backbone"].update(wheels=4),
    "type": lambda content: content["backbone"].update(model_type="cart"),
    "outer private": lambda content: content.update(_attn_implementation_internal="someone/kernel"),
    "outer attention": lambda content: content.update(attn_implementation="someone/kernel"),
    "outer auto_map": lambda content: content.update(auto_map={"AutoModel": "code--evil.Model"}),
    "outer unknown": lambda content: content.update(wheels=4),
    "quantization": lambda content: content.update(quantization_config={"quant_method": "hqq"}),
}


@pytest.mark.parametrize("change", NAMING_CODE)
def test_unknown_and_private_keys_of_configurations_are_refused(change, tmp_path):
    build("none").save_pretrained(tmp_path)
    changed_configuration(tmp_path, lambda content: None)
    MemencModel.from_pretrained(tmp_path)
    changed_configuration(tmp_path, NAMING_CODE[change])
    for load in (MemencModel, AutoModel):
        with pytest.raises(ValueError, match=r"_attn_implementation|auto_map|wheels|cart|attn_impl|quantization"):
            load.from_pretrained(tmp_path)


def test_a_state_outlives_the_model_that_wrote_it(tmp_path):
    model, ids = build("average_weighted", "eurobert"), tokens(2, 25)
    memory = model(ids).memory.detach()
    model.save_pretrained(tmp_path)
    again = MemencModel.from_pretrained(tmp_path)
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again(ids, memory=memory).pooler_output, model(ids, memory=memory).pooler_output)


@every_design
@torch.no_grad()
def test_half_precision_is_near_full(design, tmp_path):
    model, ids = build(design), tokens(2, 3 * CAPACITY + 2)
    model.save_pretrained(tmp_path)
    wanted = model(ids)
    half = MemencModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    got = half(ids)
    assert got.pooler_output.dtype == torch.bfloat16
    assert (got.pooler_output - wanted.pooler_output).norm() / wanted.pooler_output.norm() < 0.05
    assert types_of(got.memory) == types_of(half.initial_memory(2))
    again = half(tokens(2, 9), memory=got.memory).pooler_output
    assert again.isfinite().all()


@every_design
@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float64), ids=str)
@torch.no_grad()
def test_a_backbone_of_another_precision_is_taken_as_it_is(design, dtype):
    row = DESIGNS[design]
    model = MemencModel.from_backbone(
        tiny_backbone().to(dtype),
        memory=row.memory,
        memory_options=row.options,
        segment_length=SEGMENT,
        special_tokens=SPECIAL,
    )
    assert model.dtype == dtype
    output = model.eval()(tokens(2, 3 * CAPACITY + 2))
    assert output.pooler_output.dtype == dtype and output.pooler_output.isfinite().all()


def assert_autocast_trains(model):
    ids = tokens(8, 3 * CAPACITY + 2)
    wanted = model.train()(ids).pooler_output
    with torch.autocast("cpu", torch.bfloat16):
        output = model(ids)
        loss = output.pooler_output.float().square().mean() + output.last_hidden_state.float().square().mean()
    loss.backward()
    # In half precision one document of many may be far off, where a feature changes its sign.
    off = (output.pooler_output - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert off.median() < 0.05
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert types_of(output.memory) == types_of(model.initial_memory(8))


@every_design
def test_autocast_trains(design):
    assert_autocast_trains(build(design))


@every_backbone
@pytest.mark.parametrize("design", ("none", "compressive_mean", "linear", "associative"))
def test_autocast_trains_every_backbone(kind, design):
    assert_autocast_trains(build(design, kind).float())


def test_a_save_takes_away_no_file_but_its_own(tmp_path):
    model = build("none")
    model.save_pretrained(tmp_path, max_shard_size="20kB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 1
    (tmp_path / "model_old.safetensors").write_bytes(b"mine")
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("model*")} == {"model.safetensors", "model_old.safetensors"}


@pytest.mark.parametrize("head", (MemencModel, MemencForSequenceClassification))
def test_a_folder_may_be_given_as_a_path(head, tmp_path):
    name = save_tiny_backbone(tmp_path / "backbone")
    as_text, as_path = (head.from_backbone(folder, segment_length=16) for folder in (name, Path(name)))
    assert as_path.config.special_tokens == as_text.config.special_tokens is not None
    as_text.save_pretrained(tmp_path / "model")
    again = head.from_backbone(tmp_path / "model", segment_length=16)
    assert again.config.special_tokens == as_text.config.special_tokens
