"""What adds up over a document must not stand still in half precision; and what is small must not vanish."""

import pytest
import torch

from memenc.memory import LayerSizes, Segment, build_memory
from memenc_kernels import gated_update
from tests.memory.checks import CAPACITY, build, tokens

SIZES = LayerSizes(heads=2, key_value_heads=2, head_dim=4, segment_length=4)
HALVES = (torch.bfloat16, torch.float16)


def constant(value, dtype):
    entries = torch.full((1, 2, 4, 4), value, dtype=dtype)
    return Segment(entries, entries, entries, None)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("design", "options", "mean"),
    [
        ("moving_average", {"average": "cumulative", "slots": 1}, lambda state: state["keys"][0, 0, 0, 0, 0]),
        ("pyramid", {"window": 0, "levels": 1, "slots": 1, "rate": 4}, lambda state: state["keys"][0, 0, 0, 0]),
    ],
)
@torch.no_grad()
def test_a_mean_over_a_long_document_goes_on_moving(dtype, design, options, mean):
    memory = build_memory(design, SIZES, options).to(dtype)
    state = memory.initial_state(1, torch.zeros(1, dtype=dtype))
    for value in [1.0] * 300 + [2.0] * 900:
        state = memory.write(state, constant(value, dtype))
    assert float(mean(state)) == pytest.approx(1.75, abs=2e-3)


@pytest.mark.parametrize("dtype", HALVES)
@torch.no_grad()
def test_no_slot_stands_still(dtype):
    memory = build_memory("gated", SIZES, {"slots": 8}).to(dtype)
    state = memory.write(memory.initial_state(1, torch.zeros(1, dtype=dtype)), constant(1.0, dtype))
    before = state["values"]
    for _ in range(20):
        state = memory.write(state, constant(-1.0, dtype))
    assert bool((state["values"] != before).any(-1).all())


def test_no_slot_of_nothing_has_a_gradient_that_is_none():
    slots = torch.zeros(1, 2, 2, 3, 4, dtype=torch.float16)
    content = torch.zeros_like(slots, requires_grad=True)
    keep = torch.zeros(2, 2, 3, 4, dtype=torch.float16)
    longest = torch.zeros(1, 2, 2, dtype=torch.float16)
    fresh = torch.zeros(1, dtype=torch.bool)
    gated_update(slots, content, keep, None, fresh=fresh, longest=longest, implementation="torch").sum().backward()
    assert bool(content.grad.isfinite().all())


@pytest.mark.parametrize("design", ("global_attended", "windowed_above_segment", "gated_ema", "associative"))
@torch.no_grad()
def test_a_state_in_float32_is_read_on_in_bfloat16(design):
    model, ids = build(design), tokens(2, 5 * CAPACITY)
    memory = model(ids).memory
    model.to(torch.bfloat16)
    assert model(ids, memory=memory).pooler_output.isfinite().all()
