"""Which backbones are accepted, what the dry run finds in them, and why others are refused."""

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

import memenc.backbones.attention
from memenc import MemencModel
from memenc.backbones.loading import (
    backbone_from_config,
    find_attention_layers,
    layer_sizes,
    load_backbone,
    maximum_segment_length,
)
from memenc.backbones.rotary import match_rotary
from memenc_kernels import Rotation, rotate
from tests.backbones import BACKBONES, HEADS, HIDDEN, REFUSED, SEGMENT, SIZES, tiny_backbone, tiny_config

every_backbone = pytest.mark.parametrize("kind", BACKBONES)


def take(backbone, **options):
    return MemencModel.from_backbone(backbone, memory="none", segment_length=SEGMENT, **options)


@every_backbone
def test_the_dry_run_finds_every_layer(kind):
    expected = BACKBONES[kind]
    layers = take(tiny_backbone(kind)).config.attention_layers
    assert tuple(layer["sliding_window"] for layer in layers) == expected.sliding_windows
    for layer in layers:
        assert layer["heads"] == HEADS and layer["key_value_heads"] == expected.key_value_heads
        assert layer["head_dim"] == HIDDEN // HEADS
        assert layer["causal"] == expected.causal
        assert (layer["rotary"] is not None) == expected.rotary
        # By the width of a head, where nothing is said.
        assert layer.get("scaling") == expected.scaling
        assert layer_sizes(layer, SEGMENT).scale == (expected.scaling or (HIDDEN // HEADS) ** -0.5)


@every_backbone
def test_the_rotation_found_is_the_one_the_backbone_uses(kind):
    backbone = tiny_backbone(kind)
    load_backbone(backbone)
    for description in find_attention_layers(backbone):
        if description["rotary"] is None:
            continue
        name = description["rotary"]["buffer"]
        local = description["sliding_window"] is not None
        if kind == "modernbert":
            assert ("sliding" in name) == local and ("full" in name) != local
        assert not description["rotary"]["interleaved"]


# DeBERTa of transformers 5.14 compiles as torch no longer likes to.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_with_the_reason(kind):
    options, reason = REFUSED[kind]
    config = AutoConfig.for_model(kind, **{**SIZES, **options})
    for attempt in (
        lambda: take(AutoModel.from_config(config)),
        lambda: find_attention_layers(backbone_from_config(config)),
    ):
        with pytest.raises(ValueError, match=reason):
            attempt()


def test_a_refused_backbone_is_named_before_its_weights_are_loaded(tmp_path):
    config = AutoConfig.for_model("mpnet", **SIZES)
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="MPNetModel"):
        take(str(tmp_path))


def test_of_a_model_with_a_head_the_encoder_is_taken():
    model = AutoModelForSequenceClassification.from_config(tiny_config("bert"))
    taken = take(model)
    assert taken.backbone is model.bert
    assert taken(torch.randint(5, 60, (1, 20))).pooler_output.shape == (1, HIDDEN)


def test_encoder_decoders_are_refused():
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 60}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64}
    with pytest.raises(ValueError, match="BartModel"):
        take(AutoModel.from_config(AutoConfig.for_model("bart", **sizes, **heads)))


@pytest.mark.parametrize("kind", ("bert", "roberta", "xlm-roberta", "distilbert", "electra"))
def test_segments_end_where_position_embeddings_do(kind):
    backbone = tiny_backbone(kind, max_position_embeddings=20)
    limit = maximum_segment_length(backbone.config)
    assert limit == (18 if "roberta" in kind else 20)
    with pytest.raises(ValueError, match=f"positions for {limit} tokens"):
        MemencModel.from_backbone(backbone, memory="none", segment_length=limit + 1)
    model = MemencModel.from_backbone(backbone, memory="none", segment_length=limit)
    assert model(torch.randint(5, 60, (2, 3 * limit))).last_hidden_state.isfinite().all()


def test_taking_over_copies_nothing_and_drops_the_pooler():
    backbone = tiny_backbone()
    model = take(backbone)
    assert model.backbone is backbone and backbone.pooler is None
    assert not any("pooler" in name for name, _ in model.named_parameters())


def test_the_dry_run_leaves_training_as_it_was():
    for training in (True, False):
        backbone = tiny_backbone().train(training)
        load_backbone(backbone)
        find_attention_layers(backbone)
        assert backbone.training == training


def test_importing_registers_nothing_twice_and_registering_is_repeatable():
    memenc.backbones.attention.register()
    memenc.backbones.attention.register()
    assert take(tiny_backbone()).backbone.config._attn_implementation == memenc.backbones.attention.ATTENTION_NAME


@pytest.mark.parametrize("interleaved", (False, True))
def test_rotating_by_hand(interleaved):
    tokens, frequencies = torch.randn(2, 3, 5, 8, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    positions = torch.tensor([0, 1, -7, 400, 2])
    turned = rotate(tokens, Rotation.by(positions, frequencies, interleaved, torch.float64))
    for index, position in enumerate(positions.tolist()):
        for pair, frequency in enumerate(frequencies.tolist()):
            one, other = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + 3)
            complex_before = torch.complex(tokens[..., index, one], tokens[..., index, other])
            angle = torch.tensor(position * frequency, dtype=torch.float64)
            wanted = complex_before * torch.polar(torch.ones((), dtype=torch.float64), angle)
            assert (turned[..., index, one] - wanted.real).abs().max() < 1e-12
            assert (turned[..., index, other] - wanted.imag).abs().max() < 1e-12
    assert torch.equal(turned[..., 6:], tokens[..., 6:]), "dimensions beyond the rotated ones stay"


@pytest.mark.parametrize("interleaved", (False, True))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16), ids=str)
def test_the_right_rotation_is_recognised_among_several(interleaved, dtype):
    module = torch.nn.Module()
    for name, base in {"one_inv_freq": 1e4, "two_inv_freq": 1.6e5, "short_inv_freq": 1e4}.items():
        dimensions = torch.arange(0, 8 if "short" in name else 16, 2)
        module.register_buffer(name, base ** (-dimensions / 16))
    keys = torch.randn(1, 4, 6, 16)
    for name, buffer in module.named_buffers():
        moved = rotate(keys, Rotation.by(torch.ones(6), buffer, interleaved, torch.float32))
        found = match_rotary(module, keys.to(dtype), moved.to(dtype))
        assert (found.buffer, found.interleaved) == (name, interleaved)
    assert match_rotary(module, keys, keys) is None
    with pytest.raises(ValueError, match="rotary"):
        match_rotary(module, keys, keys + torch.randn_like(keys))
