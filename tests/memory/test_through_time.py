"""Gradient horizon and learned start: where gradient goes through time, and where a document begins."""

import pytest
import torch

from memenc.memory.learned_start import LearnedStart
from tests.backbones import SEGMENT
from tests.memory.checks import (
    CAPACITY,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    assert_states_equal,
    build,
    check_gradient_ends_at_the_horizon,
    check_schedules_agree,
    documents_of,
    feed,
    gradient_by_segment,
    gradients,
    ragged,
    read,
    tokens,
)
from tests.memory.designs import DESIGNS

every_memory = pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if row.reach != 0])


@every_memory
@pytest.mark.parametrize("segments_per_call", (1, 3, 100))
def test_gradient_ends_at_the_horizon(design, segments_per_call):
    check_gradient_ends_at_the_horizon(build(design, dtype=torch.float64, bptt_segments=3).train(), segments_per_call)


@every_memory
def test_a_horizon_beyond_the_document_is_full_backpropagation(design):
    model = build(design, dtype=torch.float64).train()
    ids, mask = ragged(documents_of(5 * CAPACITY + 3, 2 * CAPACITY))
    wanted = gradients(model, read(model, ids, mask, 2))
    for horizon in (6, 100):
        model.encoder.bptt_segments = horizon
        assert_gradients_close(gradients(model, read(model, ids, mask, 2)), wanted, 1e-10)
    model.encoder.bptt_segments = 2
    with pytest.raises(AssertionError):
        assert_gradients_close(gradients(model, read(model, ids, mask, 2)), wanted, 1e-10)


@every_memory
def test_schedules_agree_with_a_horizon(design):
    ids, mask = ragged(documents_of(5 * CAPACITY + 3, 2 * CAPACITY, 0))
    check_schedules_agree(build(design, dtype=torch.float64, bptt_segments=2), ids, mask, 1e-12)


@pytest.mark.parametrize("design", ("windowed_above_segment", "linear_delta", "gated_ema", "tokens"))
def test_a_horizon_of_one_is_detaching_between_calls(design):
    model = build(design, dtype=torch.float64, bptt_segments=1).train()
    ids = tokens(1, 4 * CAPACITY)
    weights = torch.randn(4, CAPACITY, 32, dtype=torch.float64)
    model.zero_grad()
    (read(model, ids, None, 2).last_hidden_state.unflatten(1, (4, CAPACITY)) * weights).sum().backward()
    wanted = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    memory = None
    for index, piece in enumerate(ids.split(CAPACITY, dim=1)):
        output = model(piece, memory=memory)
        (output.last_hidden_state * weights[index]).sum().backward()
        memory = output.memory.detach()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert_gradients_close(found, wanted, 1e-10)


def test_the_document_memory_is_never_cut():
    model = build("windowed_one_segment", dtype=torch.float64, bptt_segments=1, readout="mean").train()
    embedded = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: embedded.append(output.requires_grad_().clone()) or embedded[-1]
    )
    vector = model(tokens(1, 4 * CAPACITY)).pooler_output
    hook.remove()
    for gradient in torch.autograd.grad(vector.sum(), embedded):
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("horizon", (0, -1, 1.5, "all"))
def test_refuses_a_horizon_that_is_none(horizon):
    with pytest.raises(ValueError, match="bptt_segments"):
        build("windowed_one_segment", bptt_segments=horizon)


STARTING = ("windowed_above_segment", "compressive_mean", "average_cumulative", "pyramid", "linear_delta", "gated_ema")


@pytest.mark.parametrize("design", [*STARTING, "nearest_bounded", "global_first", "associative", "windowed+linear"])
def test_a_learned_start_keeps_the_contract(design):
    model = build(design, dtype=torch.float64, learned_start=True)
    ids, mask = ragged(documents_of(3 * CAPACITY + 3, CAPACITY, 0))
    check_schedules_agree(model, ids, mask, 1e-12)
    model.eval()
    with torch.no_grad():
        documents = documents_of(3 * CAPACITY + 5, CAPACITY + 1)
        whole = model(*ragged(documents))
        vector, memory = feed(model, [[d[:9], d[9:]] for d in documents])
        assert_states_close(memory, whole.memory, 1e-12)
        assert_close(vector, whole.pooler_output, 1e-12)
        # I3: to the bit where calls have one shape.
        read = model(*ragged([tokens(0), tokens(20)])).memory
        assert_states_equal(read.select([0]), model.initial_memory(2).select([0]))
    found = gradients(model.train(), model(tokens(1, 2 * CAPACITY)))
    starts = [gradient for name, gradient in found.items() if ".start_" in name]
    # The first layer's memory tokens know nothing, so `associative` has no memory there.
    assert len(starts) == (2 if design == "associative" else 4) and all(gradient.abs().max() > 0 for gradient in starts)


def test_a_window_that_starts_learned_is_a_prefix():
    model = build("windowed_one_segment", dtype=torch.float64, learned_start=True, special_tokens=None)
    start = model.encoder.memories[0]
    assert isinstance(start, LearnedStart)
    state = model.initial_memory(2)
    assert torch.equal(state.tensors["layers.0.keys"][1], start.start_keys)
    assert state.tensors["layers.0.filled"].tolist() == [SEGMENT] * 2


def test_training_only_the_start_is_enough_to_learn_something():
    model = build("windowed_one_segment", lively=False, learned_start=True)
    model.requires_grad_(False)
    parameters = [p.requires_grad_() for name, p in model.named_parameters() if ".start_" in name]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    ids, losses = tokens(4, CAPACITY), []
    with torch.no_grad():
        aim = model(ids).last_hidden_state[..., 0].mean() + 2.0
    for _ in range(30):
        loss = (model(ids).last_hidden_state[..., 0] - aim).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_gradient_by_segment_of_the_contract_sees_the_whole_document():
    (norms,) = gradient_by_segment(build("gated_ema", dtype=torch.float64), 7, [6])
    assert (norms > 0).all()
