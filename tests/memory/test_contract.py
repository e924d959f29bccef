"""The contract of every memory design: one row in `designs.py` brings all of these tests."""

import random
from dataclasses import replace

import pytest
import torch

from memenc import available_memories
from memenc.memory.scan import line_of_entries
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
    check_schedules_agree,
    cut_at_random,
    documents_of,
    feed,
    gradients,
    ragged,
    read,
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
    with torch.no_grad():
        whole = model(*ragged(documents))
        pieces = [cut_at_random(document, 9) for document in documents]
        vector, memory = feed(model, pieces, tmp_path / "state.safetensors")
    assert_states_close(memory, whole.memory, EXACT[dtype])
    assert_close(vector, whole.pooler_output, EXACT[dtype], "pooler_output")


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


@every_design
@torch.no_grad()
def test_state_has_constant_size(design):
    model = build(design)
    fresh = model.initial_memory(2)
    for segments in (1, 2, 9):
        memory = model(tokens(2, segments * CAPACITY + 1)).memory
        if DESIGNS[design].constant_size:
            assert memory.nbytes == fresh.nbytes
            assert {n: (t.shape, t.dtype) for n, t in memory.tensors.items()} == {
                n: (t.shape, t.dtype) for n, t in fresh.tensors.items()
            }
        else:
            assert memory.nbytes >= fresh.nbytes


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


def gradient_by_segment(model, segments, on_segment):
    """Gradient norm (segments, tokens) that one number of one segment's states sends to the token embeddings."""
    document = tokens(1, segments * CAPACITY)
    embedded = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: embedded.append(output.requires_grad_().clone()) or embedded[-1]
    )
    states = read(model, document, None, 1)
    hook.remove()
    states = states.last_hidden_state.unflatten(1, (segments, CAPACITY))[:, on_segment]
    found = torch.autograd.grad((states * torch.randn_like(states)).sum(), embedded, allow_unused=True)
    rows = [torch.zeros_like(e) if g is None else g for e, g in zip(embedded, found, strict=True)]
    return torch.cat(rows).norm(dim=-1)


@every_design
def test_gradient_reaches_every_segment_in_reach_and_none_beyond(design):
    segments = 8
    model = build(design, lively=DESIGNS[design].asleep, dtype=torch.float64)
    norms = gradient_by_segment(model, segments, segments - 1)
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
    model = build(design).train()
    found = gradients(model, model(tokens(2, 6 * CAPACITY + 5)))
    for name, gradient in found.items():
        if "word_embeddings" not in name:
            assert gradient is not None and gradient.isfinite().all(), name
        if ".backbone." not in name:
            assert gradient.abs().max() > 0, f"{name} gets no gradient"


@every_memory
@torch.no_grad()
def test_knocking_the_memory_out_changes_what_is_read(design):
    for lively, least in ((False, 0.0), (True, 1e-3)):
        model = build(design, lively=lively)
        before, ids = tokens(1, 4 * CAPACITY), tokens(1, CAPACITY)
        with_memory = model(ids, memory=model(before).memory).last_hidden_state
        without = model(ids, memory=model.initial_memory(1)).last_hidden_state
        change = (with_memory - without).norm() / without.norm()
        assert change == 0 if DESIGNS[design].asleep and not lively else change > least


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
@torch.no_grad()
def test_no_token_is_lost(design):
    model = build(design)
    mask = torch.rand(4, 61) < torch.tensor([1.0, 0.7, 0.1, 0.0])[:, None]
    output = model(tokens(4, 61), mask)
    assert output.memory.tokens_seen.tolist() == mask.sum(1).tolist()
    assert (output.last_hidden_state.abs().sum(-1) > 0).equal(mask)
    again = torch.rand(4, 19) < 0.5
    assert model(tokens(4, 19), again, memory=output.memory).memory.tokens_seen.equal(mask.sum(1) + again.sum(1))


@every_design
@torch.no_grad()
def test_empty_documents_are_defined_and_touch_nobody(design):
    model = build(design)
    document = tokens(3 * CAPACITY + 1)
    wanted = None
    for neighbour in (tokens(0), tokens(1), tokens(CAPACITY)):
        output = model(*ragged([document, neighbour]))
        assert output.pooler_output.isfinite().all() and output.last_hidden_state.isfinite().all()
        wanted = wanted or output
        assert torch.equal(output.pooler_output[0], wanted.pooler_output[0])
        assert_states_equal(output.memory.select([0]), wanted.memory.select([0]))
    assert_states_equal(wanted.memory.select([1]), model.initial_memory(1))


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
