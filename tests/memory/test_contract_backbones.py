"""The contract over every backbone: what reaches the attention of one must reach the attention of all."""

import copy
import random

import pytest
import torch

from memenc import MemencModel
from tests.backbones import BACKBONES, CAUSAL, SEGMENT, compute_in_double, tiny_backbone
from tests.memory.checks import (
    CAPACITY,
    EXACT,
    SPECIAL,
    assert_close,
    build,
    check_empty_documents_touch_nobody,
    check_gradient_ends_at_the_horizon,
    check_gradient_reaches_every_parameter,
    check_knocking_out_is_felt,
    check_nan_in_padding_stays_there,
    check_no_token_is_lost,
    check_padding_is_nothing,
    check_pieces_equal_the_whole,
    check_schedules_agree,
    check_state_has_constant_size,
    documents_of,
    gradient_by_segment,
    ragged,
    tokens,
)
from tests.memory.designs import DESIGNS, FEW_DESIGNS, ONE_OF_EACH_KIND

every_backbone = pytest.mark.parametrize("kind", BACKBONES)
few_designs = pytest.mark.parametrize("design", FEW_DESIGNS)
one_of_each_kind = pytest.mark.parametrize("design", ONE_OF_EACH_KIND)
# Where causal attention sees order, a fresh window is no disturbance but the rest of the document.
every_bidirectional = pytest.mark.parametrize("kind", [kind for kind in BACKBONES if kind not in CAUSAL])


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """No float32 within float64."""
    compute_in_double(monkeypatch.setattr)


@every_backbone
@few_designs
def test_schedules_agree(kind, design):
    ids, mask = ragged(documents_of(3 * CAPACITY + 3, CAPACITY, 0))
    precision = BACKBONES[kind].precision
    check_schedules_agree(build(design, kind, precision), ids, mask, EXACT[precision])


@every_backbone
@one_of_each_kind
def test_pieces_equal_the_whole(kind, design, tmp_path):
    precision = BACKBONES[kind].precision
    model = build(design, kind, precision, segments_per_call=random.choice([1, 2, 100]))
    documents = documents_of(3 * CAPACITY + 5, 2 * CAPACITY + 1)
    check_pieces_equal_the_whole(model, documents, EXACT[precision], tmp_path / "state.safetensors")


@every_backbone
@one_of_each_kind
def test_padding_is_nothing(kind, design):
    check_padding_is_nothing(build(design, kind), tokens(2 * CAPACITY + 3), documents_of(4 * CAPACITY + 2, 0))


@every_backbone
@one_of_each_kind
def test_nan_in_padding_stays_there(kind, design):
    padding = BACKBONES[kind].options.get("pad_token_id", 0)
    model = build(design, kind, special_tokens={"prefix": [3], "suffix": [4], "padding": padding})
    check_nan_in_padding_stays_there(model, *ragged(documents_of(2 * CAPACITY + 2, 5)))


@every_backbone
@one_of_each_kind
def test_the_state_has_one_size_and_no_token_is_lost(kind, design):
    model = build(design, kind)
    check_state_has_constant_size(model)
    check_no_token_is_lost(model)
    check_empty_documents_touch_nobody(model)


def reaching(design, kind, **options):
    """A model in which every layer sees all of the memory, also those that look at a few tokens only."""
    return build(design, kind, BACKBONES[kind].precision, sliding_window_layers="full", **options)


@every_backbone
@one_of_each_kind
def test_gradient_reaches_every_segment_in_reach_and_none_beyond(kind, design):
    segments, row = 9, DESIGNS[design]
    model = reaching(design, kind, lively=row.asleep)
    (norms,) = gradient_by_segment(model, segments, [segments - 1])
    near = segments - 1 if row.reach is None else row.reach
    assert norms.isfinite().all() and (norms[segments - 1 - near :].norm(dim=1) > 0).all()
    layers = len(model.encoder.memories)
    assert not norms[: max(0, segments - 1 - layers * near)].any(), "gradient from beyond the reach"


@every_backbone
@one_of_each_kind
def test_gradient_reaches_every_parameter(kind, design):
    check_gradient_reaches_every_parameter(reaching(design, kind))


@every_backbone
@one_of_each_kind
def test_knocking_the_memory_out_changes_what_is_read(kind, design):
    check_knocking_out_is_felt(reaching(design, kind), least=1e-3)


@every_backbone
@one_of_each_kind
def test_gradient_ends_at_the_horizon(kind, design):
    model = reaching(design, kind, bptt_segments=3).train()
    check_gradient_ends_at_the_horizon(model, segments_per_call=random.choice([1, 3, 100]))


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
