"""The contract of places: entries lie where they were read, and what is kept carries no rotation."""

import copy
from contextlib import contextmanager

import pytest
import torch

from memenc import MemencModel
from memenc.backbones.placement import begins
from memenc.memory.values import SegmentGroup
from memenc_kernels import rotate
from tests.backbones import CAUSAL, ROTARY, SEGMENT, tiny_backbone
from tests.memory.checks import CAPACITY, assert_close, build, read, tokens
from tests.memory.designs import DESIGNS

# Backbones make their rotations in float32.
ROUNDED = 1e-6
# Memory tokens know nothing yet in the first layer, and these designs keep nothing else.
KEEPING = [name for name, row in DESIGNS.items() if row.memory not in ("none", "tokens", "summary", "associative")]


@torch.no_grad()
def check_a_window_over_the_document_is_full_attention(kind, segments_per_call):
    """I7: whatever the segments, and with the state handed on in the middle of one."""
    original = tiny_backbone(kind)
    model = MemencModel.from_backbone(
        copy.deepcopy(original),
        memory="windowed",
        memory_options={"window": 96, "initial_bias": 0.0},
        segment_length=SEGMENT,
        segments_per_call=segments_per_call,
    ).eval()
    ids = tokens(2, 5 * SEGMENT + 7)
    wanted = original(input_ids=ids).last_hidden_state
    assert_close(model(ids).last_hidden_state, wanted, 1e-5, kind)
    memory = model(ids[:, :41]).memory
    rest = model(ids[:, 41:], memory=memory).last_hidden_state
    assert_close(rest, wanted[:, 41:], 1e-5, kind)


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("segments_per_call", (1, 3))
def test_a_causal_window_over_the_document_equals_full_attention(kind, segments_per_call):
    check_a_window_over_the_document_is_full_attention(kind, segments_per_call)


# Published memories kept rotated keys and rotated them again, or left them where they had been.
WRONG_PLACES = {
    "rotated twice": ("memenc.memory.values.SegmentGroup._unrotated", lambda group, tokens: tokens),
    "left in the frame of their segment": ("memenc.backbones.attention.begins", lambda *sizes: 0 * begins(*sizes)),
    "left at the document's beginning": (
        "memenc.memory.windowed.WindowedMemory.positions",
        lambda memory, device: torch.arange(memory.window, device=device),
    ),
}


@pytest.mark.parametrize("fault", WRONG_PLACES)
def test_keys_at_wrong_places_are_noticed(fault, monkeypatch):
    monkeypatch.setattr(*WRONG_PLACES[fault])
    with pytest.raises(AssertionError, match="llama differs"):
        check_a_window_over_the_document_is_full_attention("llama", segments_per_call=3)


@torch.no_grad()
def test_full_attention_is_not_reached_by_a_shorter_window():
    original = tiny_backbone("llama")
    model = MemencModel.from_backbone(
        copy.deepcopy(original), memory="windowed", memory_options={"window": 40}, segment_length=SEGMENT
    ).eval()
    ids = tokens(1, 5 * SEGMENT)
    wanted = original(input_ids=ids).last_hidden_state
    with pytest.raises(AssertionError):
        assert_close(model(ids).last_hidden_state, wanted, 1e-3)


@contextmanager
def without_rotation(model):
    """All tokens stand at position 0, where a rotation turns nothing, and there is none to be taken off."""

    def at_zero(module, arguments, named):
        rows, length = (named["input_ids"] if "input_ids" in named else named["inputs_embeds"]).shape[:2]
        return arguments, named | {"position_ids": torch.zeros(rows, length, dtype=torch.long)}

    hook = model.backbone.register_forward_pre_hook(at_zero, with_kwargs=True)
    rotaries = model.encoder.rotaries
    model.encoder.rotaries = [None] * len(rotaries)
    try:
        yield
    finally:
        model.encoder.rotaries = rotaries
        hook.remove()


@torch.no_grad()
def check_what_is_kept_carries_no_rotation(model):
    """The first layer, whose keys depend on nothing but tokens and their places, keeps what it would without places."""
    ids = tokens(2, 4 * CAPACITY)
    found = model(ids).memory.part("layers.0")
    with without_rotation(model):
        wanted = model(ids).memory.part("layers.0")
    assert wanted
    for name, tensor in wanted.items():
        assert_close(found[name], tensor, ROUNDED, name)


@pytest.mark.parametrize("design", KEEPING)
def test_what_is_kept_carries_no_rotation(design):
    check_what_is_kept_carries_no_rotation(build(design, "eurobert", torch.float64))


@pytest.mark.parametrize("design", ("windowed_no_divisor", "average_weighted", "linear_delta", "gated_ema"))
def test_kept_keys_that_are_still_rotated_are_noticed(design, monkeypatch):
    monkeypatch.setattr(SegmentGroup, "_unrotated", lambda group, tokens: tokens)
    with pytest.raises(AssertionError, match="differs"):
        check_what_is_kept_carries_no_rotation(build(design, "eurobert", torch.float64))


@pytest.mark.parametrize("kind", ROTARY)
@torch.no_grad()
def test_memory_keys_carry_no_rotation(kind):
    """The same segment gives the same entries wherever it stands, and unrotated keys give the rotated ones back."""
    model = build("windowed_one_segment", kind, torch.float64, special_tokens=None)
    ids = tokens(1, SEGMENT)
    first = model(ids).memory.part("layers.0")["keys"]
    later = read(model, torch.cat([tokens(1, SEGMENT), tokens(1, SEGMENT), ids], 1)).memory.part("layers.0")["keys"]
    assert_close(later, first, 1e-12, "keys of the first layer")
    rotary = model.encoder.rotaries[0]
    positions = torch.arange(SEGMENT)
    rotation = rotary.rotation(model.backbone, positions, first.dtype)
    turned = rotate(first, rotation)
    back = rotate(turned, rotation.inverse())
    assert (turned - first).abs().max() > 1e-3
    assert_close(back, first, 1e-12, "keys rotated and back")
    assert_close(turned.norm(dim=-1), first.norm(dim=-1), 1e-12, "length of keys")
