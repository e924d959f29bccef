"""What a memory costs in a layer: bytes of state and operations per segment, counted and by formula."""

import pytest

from memenc.memory import LayerSizes
from memenc.memory.cost import cost_of
from tests.memory.designs import DESIGNS

SIZES = LayerSizes(heads=4, key_value_heads=2, head_dim=8, segment_length=16)


@pytest.mark.parametrize("design", DESIGNS)
def test_costs_are_counted(design):
    row = DESIGNS[design]
    cost = cost_of(row.memory, SIZES, row.options, row_tokens=3 if "associative" in row.memory else 0)
    grows = not row.constant_size or row.memory == "tokens" or "summary" in row.memory
    assert cost.state_bytes > 0 or row.memory == "none" or grows
    per_entry = 4 * SIZES.segment_length * SIZES.heads * SIZES.head_dim
    assert cost.flops_per_segment >= per_entry * row.entries
    if row.memory == "windowed":
        window = row.options["window"]
        assert cost.flops_per_segment == per_entry * window and cost.parameters == SIZES.heads
        assert cost.state_bytes == 2 * window * SIZES.key_value_heads * SIZES.head_dim * 4 + 8
    if row.memory == "none":
        assert (cost.state_bytes, cost.flops_per_segment, cost.parameters) == (0, 0, 0)


def test_linear_memory_costs_what_its_formula_says():
    cost = cost_of("linear", SIZES, {"rule": "linear"})
    heads, groups, dim, length = SIZES.heads, SIZES.key_value_heads, SIZES.head_dim, SIZES.segment_length
    assert cost.state_bytes == groups * (dim * dim + dim) * 4 + 8
    reading, writing = 2 * length * heads * dim * (dim + 1), 2 * length * groups * dim * dim
    assert cost.flops_per_segment == reading + writing
