"""A learned start where there is a state to start, and nowhere else."""

import pytest
import torch

from memenc.memory.learned_start import LearnedStart
from tests.memory.checks import CAPACITY, build, tokens
from tests.memory.designs import DESIGNS


@pytest.mark.parametrize("design", DESIGNS)
def test_every_learned_start_has_a_gradient(design):
    model = build(design, learned_start=True)
    model(tokens(2, 3 * CAPACITY)).last_hidden_state.square().sum().backward()
    started = [module for module in model.modules() if isinstance(module, LearnedStart)]
    holding = [memory for memory in build(design).encoder.layer_memories if memory.initial_state(1, torch.zeros(1))]
    assert len(started) == len(holding)
    for module in started:
        for start in (module.start_keys, module.start_values):
            assert start.grad is not None and bool(start.grad.isfinite().all())
        assert any(bool(start.grad.any()) for start in (module.start_keys, module.start_values))
