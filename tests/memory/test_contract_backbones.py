"""The contract over every backbone: what reaches the attention of one must reach the attention of all."""

import copy

import pytest
import torch

from memenc import MemencModel
from memenc_kernels import rotate
from tests.backbones import BACKBONES, CAUSAL, ROTARY, SEGMENT, tiny_backbone
from tests.memory.checks import (
    CAPACITY,
    EXACT,
    SPECIAL,
    assert_close,
    build,
    check_padding_is_nothing,
    check_schedules_agree,
    cut_at_random,
    documents_of,
    feed,
    ragged,
    read,
    tokens,
)
from tests.memory.designs import DESIGNS, FEW_DESIGNS

every_backbone = pytest.mark.parametrize("kind", BACKBONES)
few_designs = pytest.mark.parametrize("design", FEW_DESIGNS)
# Where causal attention sees order, a fresh window is no disturbance but the rest of the document.
every_bidirectional = pytest.mark.parametrize("kind", [kind for kind in BACKBONES if kind not in CAUSAL])


@every_backbone
@few_designs
def test_schedules_agree(kind, design):
    ids, mask = ragged(documents_of(3 * CAPACITY + 3, CAPACITY, 0))
    precision = BACKBONES[kind].precision
    check_schedules_agree(build(design, kind, precision), ids, mask, EXACT[precision])


@every_backbone
@torch.no_grad()
def test_pieces_equal_the_whole(kind):
    precision = BACKBONES[kind].precision
    model = build("compressive_learned_query", kind, precision)
    documents = documents_of(3 * CAPACITY + 5, 2 * CAPACITY + 1)
    whole = model(*ragged(documents))
    vector, memory = feed(model, [cut_at_random(document, 6) for document in documents])
    assert_close(vector, whole.pooler_output, EXACT[precision], "pooler_output")
    for name, tensor in whole.memory.tensors.items():
        assert_close(memory.tensors[name], tensor, EXACT[precision], name)


@every_backbone
def test_padding_is_nothing(kind):
    model = build("average_weighted", kind)
    check_padding_is_nothing(model, tokens(2 * CAPACITY + 3), documents_of(4 * CAPACITY + 2, 0))


@every_backbone
@torch.no_grad()
def test_nan_in_padding_stays_there(kind):
    padding = BACKBONES[kind].options.get("pad_token_id", 0)
    model = build("compressive_mean", kind, special_tokens={"prefix": [3], "suffix": [4], "padding": padding})
    ids, mask = ragged(documents_of(2 * CAPACITY + 2, 5))
    wanted = model(ids, mask)
    model.get_input_embeddings().weight[padding] = torch.nan
    got = model(torch.where(mask.bool(), ids, padding), mask)
    assert got.last_hidden_state.isfinite().all()
    assert torch.equal(got.last_hidden_state, wanted.last_hidden_state)
    assert torch.equal(got.pooler_output, wanted.pooler_output)


def segment_by_segment(backbone, document):
    """Token states (tokens, hidden) of the untouched backbone, each segment alone, the last one padded."""
    found = []
    for start in range(0, len(document), CAPACITY):
        own = document[start : start + CAPACITY]
        row = torch.tensor([*SPECIAL["prefix"], *own.tolist(), *SPECIAL["suffix"]])
        ids, mask = torch.zeros(1, SEGMENT, dtype=torch.long), torch.zeros(1, SEGMENT, dtype=torch.long)
        ids[0, : len(row)], mask[0, : len(row)] = row, 1
        states = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        found.append(states[0, 1 : 1 + len(own)])
    return torch.cat(found)


@every_backbone
@pytest.mark.parametrize("segments_per_call", (1, 2, 100))
@torch.no_grad()
def test_none_equals_the_original_backbone_on_each_segment(kind, segments_per_call):
    precision = BACKBONES[kind].precision
    original = tiny_backbone(kind).to(precision)
    model = MemencModel.from_backbone(
        copy.deepcopy(original),
        memory="none",
        segment_length=SEGMENT,
        segments_per_call=segments_per_call,
        special_tokens=SPECIAL,
    )
    model.to(precision).eval()
    documents = documents_of(3 * CAPACITY + 4, CAPACITY - 3)
    ids, mask = ragged(documents)
    states = model(ids, mask).last_hidden_state
    for index, document in enumerate(documents):
        wanted = segment_by_segment(original, document)
        assert_close(states[index, : len(document)], wanted, EXACT[precision], f"document {index}")


@every_backbone
@torch.no_grad()
def test_a_backbone_taken_over_still_works_alone(kind):
    precision = BACKBONES[kind].precision
    original = tiny_backbone(kind).to(precision)
    taken = MemencModel.from_backbone(copy.deepcopy(original), memory="none", segment_length=SEGMENT).backbone
    ids, mask = tokens(3, 20), torch.ones(3, 20, dtype=torch.long)
    mask[1, 11:], mask[2, :7] = 0, 0
    left, right = (model(input_ids=ids, attention_mask=mask).last_hidden_state for model in (taken, original))
    assert_close(left[mask.bool()], right[mask.bool()], EXACT[precision], kind)
    assert_close(taken(ids).last_hidden_state, original(ids).last_hidden_state, EXACT[precision], kind)


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("segments_per_call", (1, 3))
@torch.no_grad()
def test_a_causal_window_over_the_document_equals_full_attention(kind, segments_per_call):
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


@every_bidirectional
@pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if row.reach != 0])
@torch.no_grad()
def test_a_fresh_memory_hardly_disturbs(kind, design):
    backbone = tiny_backbone(kind, strength=0.0)
    ids = tokens(2, 6 * CAPACITY)
    states = []
    for row in (DESIGNS["none"], DESIGNS[design]):
        model = MemencModel.from_backbone(
            copy.deepcopy(backbone),
            memory=row.memory,
            memory_options=row.options,
            memory_layers="all",
            segment_length=SEGMENT,
            special_tokens=SPECIAL,
        )
        states.append(model.eval()(ids).last_hidden_state)
    plain, fresh = states
    change = float((fresh - plain).norm() / plain.norm())
    if DESIGNS[design].asleep:
        assert change < 1e-6, f"token states change by {change:.1e}"
    else:
        assert 0 < change < DESIGNS[design].fresh_change, f"token states change by {change:.3f}"


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
