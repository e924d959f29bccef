"""The contract of every memory design: one row in `designs.py` brings all of these tests."""

import random
from dataclasses import replace

import pytest
import torch

from memenc import available_memories
from memenc.memory.parts.scan import line_of_entries
from memenc.memory.windowed import WindowedMemory
from tests.backbones import LAYERS, SEGMENT
from tests.memory.checks import (
    CAPACITY,
    EXACT,
    SPECIAL,
    assert_close,
    assert_states_close,
    assert_states_equal,
    build,
    check_empty_documents_touch_nobody,
    check_gradient_reaches_every_parameter,
    check_knocking_out_is_felt,
    check_no_token_is_lost,
    check_pieces_equal_the_whole,
    check_schedules_agree,
    check_state_has_constant_size,
    check_state_never_shrinks,
    documents_of,
    feed,
    gradient_by_segment,
    ragged,
    tokens,
)
from tests.memory.designs import DESIGNS

every_design = pytest.mark.parametrize("design", DESIGNS)
every_memory = pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if row.reach != 0])
every_precision = pytest.mark.parametrize("dtype", EXACT, ids=str)


def test_every_design_has_a_row():
    assert {part for row in DESIGNS.values() for part in row.memory.split("+")} == set(available_memories())


@every_design
@every_precision
def test_schedules_agree(design, dtype):
    ids, mask = ragged(documents_of(5 * CAPACITY + 3, 2 * CAPACITY, 0, 3 * CAPACITY - 1))
    check_schedules_agree(build(design, dtype=dtype), ids, mask, EXACT[dtype])


def test_a_schedule_that_forgets_within_a_group_is_noticed(monkeypatch):
    scan = WindowedMemory.scan

    def forgetful(memory, state, segments, plan):
        scanned = scan(memory, state, segments, plan)
        first = [memory.read(state)] * segments.count
        return replace(scanned, lines=line_of_entries(first, memory.positions(segments.keys.device)))

    monkeypatch.setattr(WindowedMemory, "scan", forgetful)
    ids, mask = ragged(documents_of(5 * CAPACITY + 3, 2 * CAPACITY))
    with pytest.raises(AssertionError, match="last_hidden_state differs"):
        check_schedules_agree(build("windowed_one_segment", dtype=torch.float64), ids, mask, 1e-12)


@every_design
@every_precision
def test_pieces_equal_the_whole(design, dtype, tmp_path):
    model = build(design, dtype=dtype, segments_per_call=random.choice([1, 2, 100]))
    documents = documents_of(4 * CAPACITY + 5, CAPACITY, 3 * CAPACITY + 1, 0)
    check_pieces_equal_the_whole(model, documents, EXACT[dtype], tmp_path / "state.safetensors")


@torch.no_grad()
def test_one_token_at_a_time_equals_the_whole():
    model = build("compressive_learned_query", dtype=torch.float64)
    document = torch.cat([torch.tensor([3]), tokens(2 * CAPACITY + 4), torch.tensor([4])])
    whole = model(document[None])
    memory = None
    for token in document:
        output = model(token[None, None], memory=memory)
        memory = output.memory
    assert_states_close(memory, whole.memory, 1e-12)
    assert_close(output.pooler_output, whole.pooler_output, 1e-12, "pooler_output")


@pytest.mark.parametrize("special", (3, 4), ids=("prefix", "suffix"))
@torch.no_grad()
def test_special_ids_inside_a_document_survive_any_cut(special):
    model = build("windowed_one_segment", dtype=torch.float64)
    document = tokens(30)
    document[12] = special
    whole = model(document[None]).memory
    cut = 12 if special == SPECIAL["prefix"][0] else 13
    _, memory = feed(model, [[document[:cut], document[cut:]]])
    assert memory.tokens_seen.item() == whole.tokens_seen.item() == 30
    assert_states_close(memory, whole, 1e-12)


@pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if row.constant_size])
def test_state_has_constant_size(design):
    check_state_has_constant_size(build(design))


@pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if not row.constant_size])
def test_a_state_that_grows_is_never_smaller_than_a_fresh_one(design):
    check_state_never_shrinks(build(design))


@every_design
@torch.no_grad()
def test_entries_are_as_many_as_stated(design):
    model = build(design)
    state = model(tokens(1, 9 * CAPACITY)).memory
    for index, memory in enumerate(model.encoder.memories):
        entries = memory.read(state.part(f"layers.{index}"))
        if DESIGNS[design].entries == 0:
            assert entries is None
            continue
        assert entries.keys.shape[2] == entries.values.shape[2] == DESIGNS[design].entries
        assert entries.valid.shape == (1, DESIGNS[design].entries) and entries.valid.all()
        assert entries.bias.shape == (4, DESIGNS[design].entries)
        assert (memory.positions(torch.device("cpu")) < 0).all()


@every_design
def test_gradient_reaches_every_segment_in_reach_and_none_beyond(design):
    segments = 8
    model = build(design, lively=DESIGNS[design].asleep, dtype=torch.float64)
    (norms,) = gradient_by_segment(model, segments, [segments - 1])
    assert norms.shape == (segments, SEGMENT) and norms.isfinite().all()
    reach = DESIGNS[design].reach
    near = segments - 1 if reach is None else reach
    assert (norms[segments - 1 - near :] > 0).all(), "a token within reach gets no gradient"
    if reach is not None:
        pinned = DESIGNS[design].pinned
        assert (norms.flatten()[:pinned] > 0).all(), "a pinned token gets no gradient"
        pinned_segments = -(-pinned // SEGMENT)
        assert not norms[pinned_segments : segments - 1 - LAYERS * near].any(), "gradient from beyond the reach"


@every_design
def test_gradient_reaches_every_memory_parameter(design):
    check_gradient_reaches_every_parameter(build(design))


@every_memory
def test_knocking_the_memory_out_changes_what_is_read(design):
    check_knocking_out_is_felt(build(design), least=1e-3)
    if DESIGNS[design].asleep:
        with pytest.raises(AssertionError, match=r"change by 0\.0e"):
            check_knocking_out_is_felt(build(design, lively=False), least=0.0)
    else:
        check_knocking_out_is_felt(build(design, lively=False), least=0.0)


@torch.no_grad()
def test_without_memory_a_segment_does_not_depend_on_what_came_before():
    model = build("none")
    ids = tokens(1, CAPACITY)
    with_memory = model(ids, memory=model(tokens(1, 2 * CAPACITY)).memory).last_hidden_state
    assert torch.equal(with_memory, model(ids).last_hidden_state)


@every_memory
def test_the_memory_is_used_after_a_few_training_steps(design):
    model = build(design, lively=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    ids, other = tokens(2, 3 * CAPACITY), tokens(2, CAPACITY)
    for _ in range(4):
        output = model(ids)
        # What the last segment says must depend on the first.
        loss = (output.last_hidden_state[:, -1] - output.last_hidden_state[:, 0].detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    memory = model(ids).memory
    read_on, afresh = model(other, memory=memory), model(other, memory=model.initial_memory(2))
    assert (read_on.last_hidden_state - afresh.last_hidden_state).abs().max() > 1e-4


@every_design
def test_no_token_is_lost(design):
    check_no_token_is_lost(build(design))


@every_design
def test_empty_documents_are_defined_and_touch_nobody(design):
    check_empty_documents_touch_nobody(build(design))


@every_design
@pytest.mark.parametrize("special", (SPECIAL, None), ids=("special_tokens", "bare"))
@torch.no_grad()
def test_a_batch_of_nothing_but_empty_documents(design, special):
    model = build(design, special_tokens=special)
    for ids, mask in ((tokens(2, 20), torch.zeros(2, 20)), (tokens(2, 0), None)):
        output = model(ids, mask)
        assert output.last_hidden_state.shape == (*ids.shape, 32) and not output.last_hidden_state.any()
        assert output.pooler_output.isfinite().all()
        assert_states_equal(output.memory, model.initial_memory(2))
