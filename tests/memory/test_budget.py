"""Byte budgets: designs at equal state."""

import random
import re

import pytest

from memenc.memory import MEMORIES, LayerSizes
from tests.memory.checks import CAPACITY, build, tokens
from tests.memory.designs import Design

SIZES = LayerSizes(heads=4, key_value_heads=2, head_dim=8, segment_length=16)
# Designs of one size have nothing that a budget could choose.
SIZED = [
    name
    for name, design in MEMORIES.items()
    if any(part.sized(SIZES, 1, {}) for part in (design.layer, design.top) if part is not None)
]
OPTIONS = {"moving_average": {"slots": 8}, "nearest": {"nearest": 4}, "summary": {"tokens": 2}}


def kept_bytes(model):
    """Bytes of one document's state in the layers and over the top."""
    tensors = model.initial_memory(1).tensors
    return sum(t.nbytes for name, t in tensors.items() if name.startswith(("layers.", "top.")))


def test_designs_of_one_size_are_told_from_others():
    assert {"windowed", "tokens"} <= set(SIZED) and not {"none", "linear"} & set(SIZED)


@pytest.mark.parametrize("name", SIZED)
def test_a_budget_is_used_and_kept(name):
    used = []
    for budget in (70_000, 90_000, random.randint(70_000, 300_000)):
        options = {**OPTIONS.get(name, {}), "budget_bytes": budget}
        model = build(Design(name, options))
        assert "budget_bytes" not in model.config.memory_options
        assert kept_bytes(model) <= budget
        used.append(kept_bytes(model) / budget)
        assert model(tokens(1, 3 * CAPACITY)).pooler_output.isfinite().all()
        if name in ("nearest", "summary"):
            assert kept_bytes(model) == sum(
                t.nbytes
                for n, t in model(tokens(1, 40 * CAPACITY)).memory.tensors.items()
                if n.startswith(("layers.", "top."))
            )
    assert min(used) > 0.9, f"used only {used}"


def test_a_composition_shares_its_budget():
    model = build(Design("windowed+gated", {"budget_bytes": 60_000}))
    tensors = model.initial_memory(1).tensors
    for part in ("windowed", "gated"):
        found = sum(t.nbytes for name, t in tensors.items() if f".{part}." in name)
        assert 27_000 < found <= 30_000
    own = build(Design("windowed+gated", {"windowed": {"window": 3}, "gated": {"budget_bytes": 9_000}}))
    assert own.config.memory_options["windowed"] == {"window": 3}


def test_what_is_given_beside_a_budget_stays():
    model = build(Design("compressive", {"budget_bytes": 50_000, "rate": 2, "compression": "max"}))
    options = model.config.memory_options
    assert options["rate"] == 2 and options["compression"] == "max" and options["window"] // 4 == options["slots"]


@pytest.mark.parametrize("name", ["compressive", "pyramid", "global", "nearest", "windowed", "gated"])
def test_designs_of_entries_have_as_many_at_the_same_bytes(name):
    """26 in the most: of so few, what is left over tells."""
    model = build(Design(name, {**OPTIONS.get(name, {}), "budget_bytes": 20_000}))
    assert 19_000 < kept_bytes(model) <= 20_000


def test_a_composition_hands_on_what_one_of_it_has_no_use_for():
    model = build(Design("windowed+linear", {"budget_bytes": 200_000}))
    assert 195_000 < kept_bytes(model) <= 200_000
    alone = build(Design("linear", {"budget_bytes": 200_000}))
    assert kept_bytes(alone) < 50_000


def test_a_composition_keeps_what_a_design_of_it_cannot_do_without():
    linear = kept_bytes(build(Design("linear", {"budget_bytes": 200_000})))
    budget = linear + 6_000
    model = build(Design("windowed+linear", {"budget_bytes": budget}))
    assert linear > budget // 2 and budget - 2_000 < kept_bytes(model) <= budget
    with pytest.raises(ValueError, match=rf"budget_bytes={linear} is too small for memory .windowed\+linear.*at least"):
        build(Design("windowed+linear", {"budget_bytes": linear}))


def test_a_budget_of_its_own_counts_within_that_of_the_composition():
    options = {"budget_bytes": 60_000, "gated": {"budget_bytes": 45_000}}
    model = build(Design("windowed+gated", options))
    tensors = model.initial_memory(1).tensors
    gated = sum(t.nbytes for name, t in tensors.items() if ".gated." in name)
    assert 40_000 < gated <= 45_000 and 55_000 < kept_bytes(model) <= 60_000
    with pytest.raises(ValueError, match=r"60000 is too small.*at least"):
        build(Design("windowed+gated", options | {"gated": {"budget_bytes": 60_000}}))


@pytest.mark.parametrize("given", [{"slots": 8}, {"window": 12}, {"rate": 2, "levels": 3}])
def test_a_pyramid_fits_round_what_is_given(given):
    options = {"rate": 2, "levels": 2} | given
    for budget in (40_000, random.randint(30_000, 300_000)):
        model = build(Design("pyramid", {**options, "budget_bytes": budget}))
        assert options.items() <= model.config.memory_options.items()
        assert kept_bytes(model) <= budget


def test_a_design_of_one_size_fits_or_does_not():
    assert build(Design("linear", {"budget_bytes": 50_000})).config.memory_options == {}
    with pytest.raises(ValueError, match="needs at least"):
        build(Design("linear", {"budget_bytes": 500}))


@pytest.mark.parametrize(
    ("memory", "options", "named"),
    [
        ("windowed", {"window": 8}, "window=8"),
        ("compressive", {"window": 8, "slots": 4}, "window=8, slots=4"),
        ("windowed+linear", {"windowed": {"window": 8}}, "window=8"),
    ],
)
def test_a_size_that_leaves_most_of_a_budget_unused_is_refused(memory, options, named):
    kept = kept_bytes(build(Design(memory, options)))
    said = rf"memory '{re.escape(memory)}' with {named} takes {kept} of budget_bytes={3 * kept}, which chooses nothing"
    with pytest.raises(ValueError, match=said):
        build(Design(memory, {**options, "budget_bytes": 3 * kept}))
    # As a bound that the sizes come near it says something.
    assert kept_bytes(build(Design(memory, {**options, "budget_bytes": kept + kept // 2}))) == kept


def test_a_budget_of_its_own_that_chooses_nothing_is_refused():
    own = {"windowed": {"window": 3, "budget_bytes": 90_000}, "gated": {"budget_bytes": 9_000}}
    with pytest.raises(ValueError, match=r"memory 'windowed' with window=3 takes \d+ of budget_bytes=90000"):
        build(Design("windowed+gated", own))


@pytest.mark.parametrize(
    ("memory", "options"), [("windowed", {}), ("compressive", {}), ("windowed+linear", {"linear": {}})]
)
def test_a_size_that_is_too_large_for_a_budget_is_named(memory, options):
    sizes = {"window": 80_000}
    options = {**options, "windowed": sizes} if options else sizes
    said = rf"60000 is too small for memory '{re.escape(memory)}' with window=80000 in \d+ places, .* leave out"
    with pytest.raises(ValueError, match=said):
        build(Design(memory, {**options, "budget_bytes": 60_000}))


@pytest.mark.parametrize("budget", (0, -4, 2.5, "much", True))
def test_refuses_a_budget_that_is_none(budget):
    with pytest.raises(ValueError, match="budget_bytes"):
        build(Design("windowed", {"budget_bytes": budget}))
    with pytest.raises(ValueError, match="budget_bytes"):
        build(Design("windowed+gated", {"budget_bytes": 60_000, "gated": {"budget_bytes": budget}}))


@pytest.mark.parametrize("name", SIZED)
def test_refuses_a_budget_that_is_too_small(name):
    with pytest.raises(ValueError, match="needs at least"):
        build(Design(name, {**OPTIONS.get(name, {}), "budget_bytes": 20}))


def test_a_budget_survives_saving(tmp_path):
    model = build(Design("gated", {"budget_bytes": 40_000}))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.memory_options == model.config.memory_options
    assert kept_bytes(again) == kept_bytes(model)
