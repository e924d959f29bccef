"""Activation checkpointing by group of segments gives the gradients of plain backpropagation."""

import threading

import pytest
import torch

import memenc.encoder.segment_encoder
from memenc import MemencForSequenceClassification
from memenc.memory.parts.scan import detached
from memenc_kernels.dispatch import requested, use_implementation
from tests.backbones import BACKBONES
from tests.memory.checks import (
    CAPACITY,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    build,
    documents_of,
    gradients,
    ragged,
    read,
    tokens,
)
from tests.memory.designs import DESIGNS

# 5.17 knows the old name only, and the new one warns about it.
NAMES = ("activation_checkpointing_enable", "gradient_checkpointing_enable")


def enable(model, **options):
    """Switch checkpointing on as users of this version of transformers do."""
    name = next(name for name in NAMES if hasattr(model, name))
    getattr(model, name)(*([options] if options else []))


def disable(model):
    name = next(name for name in NAMES if hasattr(model, name))
    getattr(model, name.replace("enable", "disable"))()


def count_calls(model):
    calls = []
    model.backbone.register_forward_hook(lambda module, inputs, output: calls.append(1))
    return calls


def check_gradients_are_those_of_plain_backpropagation(model, segments_per_call):
    """I6: outputs and gradients of a document whose groups are computed twice."""
    model.train()
    ids, mask = ragged(documents_of(4 * CAPACITY + 3, CAPACITY, 0))
    plain = read(model, ids, mask, segments_per_call)
    wanted = gradients(model, plain)
    calls = count_calls(model)
    enable(model)
    output = read(model, ids, mask, segments_per_call)
    forward_calls = len(calls)
    found = gradients(model, output)
    assert len(calls) == 2 * forward_calls, "every group is computed again in the backward pass"
    assert_close(output.last_hidden_state, plain.last_hidden_state, 1e-12, "last_hidden_state")
    assert_states_close(output.memory, plain.memory, 1e-12)
    assert_gradients_close(found, wanted, 1e-10)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("segments_per_call", (1, 2, 100))
def test_gradients_are_those_of_plain_backpropagation(design, segments_per_call):
    check_gradients_are_those_of_plain_backpropagation(build(design, dtype=torch.float64), segments_per_call)


@pytest.mark.parametrize("design", ("windowed_one_segment", "linear_delta", "tokens"))
def test_a_replay_that_forgets_what_came_before_is_noticed(design, monkeypatch):
    real = memenc.encoder.segment_encoder.checkpoint

    def forgetful(function, state, *others, **options):
        return real(function, detached(state), *others, **options)

    monkeypatch.setattr(memenc.encoder.segment_encoder, "checkpoint", forgetful)
    with pytest.raises(AssertionError, match="gradient of"):
        check_gradients_are_those_of_plain_backpropagation(build(design, dtype=torch.float64), 1)


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_backbone(kind):
    model = build("compressive_learned_query", kind, BACKBONES[kind].precision).train()
    ids, mask = ragged(documents_of(3 * CAPACITY + 3, CAPACITY))
    wanted = gradients(model, read(model, ids, mask, 2))
    enable(model)
    assert_gradients_close(gradients(model, read(model, ids, mask, 2)), wanted, 1e-10)


def test_gradient_through_a_state_from_an_earlier_call():
    model = build("compressive_mean", dtype=torch.float64).train()
    ids = tokens(2, 5 * CAPACITY)
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            enable(model)
        memory = model(ids[:, :33]).memory
        found.append(gradients(model, model(ids[:, 33:], memory=memory)))
    assert_gradients_close(found[1], found[0], 1e-10)


@pytest.mark.parametrize("head", (False, True))
def test_the_reentrant_kind_is_refused(head):
    options = {"model_class": MemencForSequenceClassification} if head else {}
    model = build("windowed_one_segment", **options)
    with pytest.raises(ValueError, match="use_reentrant"):
        enable(model, use_reentrant=True)
    enable(model, use_reentrant=False)


def test_it_can_be_switched_off_again_and_says_so():
    model = build("windowed_one_segment").train()
    calls = count_calls(model)
    name = next(name for name in ("is_activation_checkpointing", "is_gradient_checkpointing") if hasattr(model, name))
    assert not getattr(model, name)
    enable(model)
    assert getattr(model, name)
    disable(model)
    assert not getattr(model, name)
    gradients(model, model(tokens(1, 3 * CAPACITY)))
    assert len(calls) == 3


def test_nothing_is_computed_twice_in_evaluation():
    model = build("windowed_one_segment")
    enable(model)
    calls = count_calls(model)
    gradients(model.eval(), model(tokens(1, 3 * CAPACITY)))
    assert len(calls) == 3


def test_what_is_computed_again_runs_as_it_was_asked_for(monkeypatch):
    """Outside the block, and in another thread, as autograd computes on a GPU."""
    asked, model = [], build("compressive_mean").train()
    model.encoder.checkpointing = True
    real = model.encoder._read_group
    monkeypatch.setattr(model.encoder, "_read_group", lambda *given: asked.append(requested("auto")) or real(*given))
    with use_implementation("torch"):
        loss = model(tokens(2, 3 * CAPACITY)).last_hidden_state.square().sum()
    backward = threading.Thread(target=loss.backward)
    backward.start()
    backward.join()
    assert len(asked) >= 6 and set(asked) == {"torch"}
