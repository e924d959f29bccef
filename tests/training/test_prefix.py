"""Prefix tuning: what a memory starts with is trained, and where there is nothing to train the message says why."""

import pytest
import torch

from memenc.training.adaptation import adapted
from memenc.training.settings import TrainingSettings
from tests.backbones import SEGMENT
from tests.memory.checks import tokens
from tests.training.adapting import classifier, part_of

PREFIX = TrainingSettings(adapt="prefix")

# A fresh associative memory projects every value by zero: whatever it starts with, nothing is written.
WITHOUT_START = [
    ("none", {}, True, "memory='none' keeps nothing: choose another"),
    ("none", {}, False, "memory='none' keeps nothing: choose another"),
    ("windowed", {"window": 8}, False, "learned_start=False: give learned_start=True"),
    ("associative", {"tokens": 2}, True, "fresh and writes nothing, .* in another way first"),
]


@pytest.mark.parametrize("memory, options, learned_start, message", WITHOUT_START)
def test_prefix_needs_a_memory_that_can_start(memory, options, learned_start, message):
    model = classifier(memory=memory, memory_options=options, learned_start=learned_start)
    with pytest.raises(ValueError, match=f"{message}.*Every other memory has a start"), adapted(model, PREFIX):
        pass


def test_prefix_takes_an_associative_memory_that_was_trained():
    model = classifier(memory="associative", memory_options={"tokens": 2})
    with torch.no_grad():
        for memory in model.memenc.encoder.memories[1:]:
            memory.memory.value_weight.normal_()
    with adapted(model, PREFIX):
        trained = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"start", "head"}


# Their learned tokens stand in the row before anything was read.
OF_ROWS = {
    "tokens": ({"tokens": 3}, {"row_tokens.start"}),
    "summary": ({"tokens": 2}, {"row_tokens.summarise"}),
    "windowed+tokens": (
        {"windowed": {"window": 8}, "tokens": {"tokens": 2}},
        {"row_tokens.start", "memories.0.start_keys", "memories.0.start_values"}
        | {"memories.1.start_keys", "memories.1.start_values"},
    ),
}


@pytest.mark.parametrize("memory", OF_ROWS)
@pytest.mark.parametrize("kind", ("bert", "albert", "llama"))
def test_prefix_trains_memory_tokens(memory, kind):
    options, wanted = OF_ROWS[memory]
    model = classifier(kind, memory, options).double().eval()
    ids, labels = tokens(4, 3 * SEGMENT), torch.tensor([0, 1, 0, 1])
    with adapted(model, PREFIX):
        before = model(ids, labels=labels).loss
        before.backward()
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad and "classifier" not in name}
        with torch.no_grad():
            for parameter in learned.values():
                # However small the gradient is, a small step against it is one down.
                parameter -= 1e-4 * parameter.grad / parameter.grad.norm()
            after = model(ids, labels=labels).loss
    assert {name.removeprefix("memenc.encoder.") for name in learned} == wanted
    assert after < before and all(parameter.grad is None or name in learned for name, parameter in others(model))


def others(model):
    """Parameters that do not belong to the head."""
    return [(name, parameter) for name, parameter in model.named_parameters() if "classifier" not in name]


def test_prefix_trains_anchors_too():
    model = classifier(
        memory="global", memory_options={"keep": "learned", "pinned": 3, "window": 8}, learned_start=False
    )
    with adapted(model, PREFIX):
        trained = {name.rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"anchor_keys", "anchor_values", "weight", "bias"}
