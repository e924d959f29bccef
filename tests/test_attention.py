"""The attention function between backbone and memory: what it refuses, hides and hands on."""

import copy
from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from memenc import MemencModel, MemoryState
from memenc.backbones.attention import UNSUPPORTED, attention_function, attention_mask_function
from memenc.memory import NoMemory
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import CAPACITY, SPECIAL, assert_close, build, enliven, read, tokens


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_would_be_ignored_is_refused_by_name(name):
    query = torch.randn(1, 2, 3, 4)
    with pytest.raises(ValueError, match=name):
        attention_function(torch.nn.Linear(1, 1), query, query, query, None, **{name: torch.ones(1)})
    output, weights = attention_function(torch.nn.Linear(1, 1), query, query, query, None, **{name: None})
    assert output.shape == (1, 3, 2, 4) and weights is None


def test_the_mask_passes_through_as_truth_values():
    mask = torch.tensor([[1, 0]])
    assert attention_mask_function(attention_mask=mask).tolist() == [[True, False]]
    assert attention_mask_function(1, 2, attention_mask=None, q_length=3) is None


@pytest.mark.parametrize("kind", ("modernbert", "mistral"))
@torch.no_grad()
def test_layers_with_local_attention_keep_no_memory_if_asked(kind):
    model = MemencModel.from_backbone(
        tiny_backbone(kind),
        memory="windowed",
        memory_options={"window": 16},
        memory_layers="all",
        segment_length=SEGMENT,
        sliding_window_layers="none",
    )
    for description, memory in zip(model.config.attention_layers, model.encoder.memories, strict=True):
        assert isinstance(memory, NoMemory) == (description["sliding_window"] is not None)
    assert model(tokens(2, 50)).pooler_output.isfinite().all()


@torch.no_grad()
def test_local_attention_sees_memory_in_its_window_only_unless_asked():
    backbone, ids, found = tiny_backbone("mistral").double(), tokens(1, 2 * SEGMENT), {}
    other = ids.clone()
    # A window of 6 positions reaches from the second segment 5 tokens into the first, and as many again per layer.
    other[:, :5] = tokens(1, 5)
    for layers in ("within_window", "full", "none"):
        model = MemencModel.from_backbone(
            backbone,
            memory="windowed",
            memory_options={"window": 16},
            segment_length=SEGMENT,
            sliding_window_layers=layers,
        )
        model.double().eval()
        found[layers] = [model(x).last_hidden_state[:, SEGMENT:] for x in (ids, other)]
    for layers in ("within_window", "none"):
        assert torch.equal(*found[layers]), f"{layers}: what lies beyond the window changes the second segment"
    assert not torch.equal(*found["full"])
    assert not torch.equal(found["within_window"][0], found["none"][0])


# What a local layer that looks four tokens back sees of entries that lie there, or before that, or nowhere.
PLACED = {
    "compressive": ({"window": 8, "slots": 4, "rate": 2}, slice(0, 4), False),
    "windowed": ({"window": 8}, slice(0, 4), False),
    "windowed, near end": ({"window": 8}, slice(5, 8), True),
    "global": ({"window": 8, "pinned": 4}, slice(0, 4), False),
    "gated": ({"slots": 4}, slice(0, 4), False),
    "moving_average, near end": ({"slots": 8}, slice(6, 8), True),
    "linear": ({}, slice(None), True),
    "nearest": ({"nearest": 4}, slice(None), True),
}


@pytest.mark.parametrize("case", PLACED)
@torch.no_grad()
def test_local_layers_reach_what_lies_within_their_window_and_what_lies_nowhere(case):
    options, part, reached = PLACED[case]
    backbone, ids = tiny_backbone("modernbert"), tokens(1, 3 * SEGMENT)
    changes = {}
    for layers in ("within_window", "full"):
        model = MemencModel.from_backbone(
            copy.deepcopy(backbone),
            memory=case.split(",")[0],
            memory_options=options,
            memory_layers=[1],
            segment_length=SEGMENT,
            sliding_window_layers=layers,
        ).double()
        enliven(model)
        assert model.config.attention_layers[1]["sliding_window"] == 5
        state = model.eval()(ids).memory
        other = {name: x + torch.randn_like(x) * at(x, part) for name, x in state.tensors.items() if moves(name, x)}
        changed = MemoryState(state.tensors | other, state.fingerprint)
        last = tokens(1, SEGMENT)
        found = [model(last, memory=memory).last_hidden_state for memory in (state, changed)]
        changes[layers] = float((found[0] - found[1]).abs().max())
    assert changes["full"] > 1e-6
    assert changes["within_window"] > 1e-6 if reached else changes["within_window"] == 0


def moves(name, tensor):
    """Whether a tensor of the state is what the local layer holds."""
    return name.startswith("layers.1.") and tensor.is_floating_point() and tensor.dim() > 2


def at(tensor, part):
    """One at these entries, zero at the others."""
    chosen = torch.zeros(tensor.shape[-2], 1, dtype=tensor.dtype)
    chosen[part] = 1
    return chosen


def test_checkpointing_the_backbone_itself_is_refused():
    model = build("windowed_one_segment").train()
    model.backbone._set_gradient_checkpointing(True, partial(checkpoint, use_reentrant=False))
    output = model(tokens(1, 3 * CAPACITY))
    with pytest.raises(ValueError, match="activation checkpointing of the memenc model"):
        output.last_hidden_state.sum().backward()


@torch.no_grad()
def test_attention_dropout_of_the_configuration_rules():
    ids = tokens(1, 3 * CAPACITY)
    for share, random in ((0.0, False), (None, True), (0.3, True)):
        backbone = tiny_backbone("bert", attention_probs_dropout_prob=0.0)
        for layer in backbone.encoder.layer:
            layer.attention.self.dropout.p = 0.2
            layer.attention.self.attention_dropout = 0.2
        model = MemencModel.from_backbone(
            backbone,
            memory="windowed",
            memory_options={"window": 16},
            segment_length=SEGMENT,
            attention_dropout=share,
        ).train()
        assert torch.equal(model(ids).pooler_output, model(ids).pooler_output) != random
        model.eval()
        assert torch.equal(model(ids).pooler_output, model(ids).pooler_output)


@torch.no_grad()
def test_age_and_place_of_memory_matter_to_rotary_layers():
    """Reading the same segments in another order gives other states: entries are not a bag of tokens."""
    model = build("windowed_above_segment", "eurobert", torch.float64, lively=False, special_tokens=SPECIAL)
    for memory in model.encoder.memories:
        memory.window_bias.zero_()
    one, two, last = (tokens(1, CAPACITY) for _ in range(3))
    states = [model(torch.cat([a, b, last], 1)).last_hidden_state[:, -CAPACITY:] for a, b in ((one, two), (two, one))]
    assert (states[0] - states[1]).abs().max() > 1e-4


@torch.no_grad()
def test_memory_alone_makes_the_difference_between_segments():
    """With an infinitely negative bias, every design reads each segment alone."""
    for design in ("windowed_no_divisor", "average_weighted", "compressive_max"):
        model = build(design, dtype=torch.float64)
        for memory in model.encoder.memories:
            for name, parameter in memory.named_parameters():
                if name.endswith("_bias"):
                    parameter.fill_(-1e5)
        ids = tokens(1, 3 * CAPACITY)
        together = read(model, ids, None, 2).last_hidden_state
        alone = torch.cat([model(part).last_hidden_state for part in ids.split(CAPACITY, 1)], 1)
        assert_close(together, alone, 1e-12, design)
