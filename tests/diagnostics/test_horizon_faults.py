"""A gradient horizon that is none, one that cuts everything, and entries at the wrong place: liveness names each."""

from dataclasses import replace

import pytest
import torch

import memenc.backbones.attention
import memenc.encoder.segment_encoder
from memenc.backbones.placement import begins
from memenc.diagnostics.horizon import at_horizon
from memenc.memory.linear import LinearMemory
from memenc.memory.values import SegmentGroup
from memenc.memory.windowed import WindowedMemory
from tests.diagnostics.living import GATED, LINEAR, SEGMENTS, WINDOW, examine, told
from tests.memory.checks import CAPACITY, build, tokens
from tests.memory.designs import FEW_DESIGNS


def examined(model):
    """What liveness says; how long a document may get is no matter here."""
    return examine(model, more_segments=1)


@pytest.mark.parametrize("design", FEW_DESIGNS)
@pytest.mark.parametrize("horizon", (1, 2, 3, 100))
def test_a_horizon_is_found_where_it_is(design, horizon):
    model = build(design, bptt_segments=horizon)
    found = at_horizon(model, tokens(2, SEGMENTS, CAPACITY), horizon, seed=0)
    assert found.segments == min(horizon, SEGMENTS - 1) and found.beyond == 0
    assert found.within is None if horizon == 1 else found.within > 0
    assert model.encoder.bptt_segments == horizon


def test_a_model_without_a_horizon_has_none():
    assert at_horizon(build(WINDOW), tokens(1, SEGMENTS, CAPACITY), None, seed=0) is None
    assert examine(build("none", bptt_segments=2)).horizon is None


@pytest.mark.parametrize("design", (WINDOW, "associative"))
def test_a_fresh_memory_with_a_horizon_has_no_problems(design):
    found = examine(build(design, lively=False, bptt_segments=2))
    assert found.problems() == [] and found.to_dict()["horizon"]["beyond"] == 0


# A window is cut by itself where its segments come one by one, and by the usual scan within a group.
DETACHED = {
    WINDOW: ("memenc.memory.windowed.detached", "memenc.memory.parts.scan.detached"),
    GATED: ("memenc.memory.parts.scan.detached",),
    "tokens": ("memenc.encoder.segment_encoder.detached",),
}


@pytest.mark.parametrize(("design", "where"), [(design, name) for design, names in DETACHED.items() for name in names])
def test_a_detach_whose_result_is_not_used(monkeypatch, design, where):
    monkeypatch.setattr(where, lambda state: state)
    found = examined(build(design, bptt_segments=2))
    assert told(found, "bptt_segments has no effect", "horizon of 2 segments") and found.horizon.beyond > 0


def test_a_design_that_cuts_nothing(monkeypatch):
    scan = LinearMemory.scan
    monkeypatch.setattr(LinearMemory, "scan", lambda self, state, group, plan: scan(self, state, group, uncut(plan)))
    assert told(examined(build(LINEAR, bptt_segments=3)), "bptt_segments has no effect", "horizon of 3 segments")


def uncut(plan):
    return replace(plan, cut=())


def plan_by(monkeypatch, changed):
    """Let plans cut by the horizon that `changed` makes of the model's own."""
    real = memenc.encoder.segment_encoder.groups_of

    def wrong(segments, per_call, horizon, multiple):
        return real(segments, per_call, changed(horizon), multiple)

    monkeypatch.setattr(memenc.encoder.segment_encoder, "groups_of", wrong)


@pytest.mark.parametrize("design", (LINEAR, "tokens"))
def test_a_plan_that_never_cuts(monkeypatch, design):
    plan_by(monkeypatch, lambda horizon: None)
    assert told(examined(build(design, bptt_segments=1)), "bptt_segments has no effect")


@pytest.mark.parametrize("design", (WINDOW, "tokens"))
def test_a_horizon_that_cuts_everything(monkeypatch, design):
    plan_by(monkeypatch, lambda horizon: horizon and 1)
    found = examined(build(design, bptt_segments=3))
    assert told(found, "bptt_segments cuts too much", "horizon of 3 segments") and found.horizon.within == 0
    assert found.horizon.beyond == 0 and not told(found, "has no effect")


@pytest.mark.parametrize("kind", ("bert", "llama"))
def test_entries_that_lie_in_the_segment(monkeypatch, kind):
    monkeypatch.setattr(WindowedMemory, "positions", lambda memory, device: torch.arange(memory.window, device=device))
    found = examined(build(WINDOW, kind))
    assert found.misplaced == ("layer 0", "layer 1") and told(found, "layer 0, layer 1", "negative positions")


def test_kept_keys_that_carry_the_rotation_of_their_old_place(monkeypatch):
    monkeypatch.setattr(SegmentGroup, "_unrotated", lambda group, tokens: tokens)
    found = examined(build("windowed_no_divisor", "llama"))
    assert told(found, "how a document is handed over") and found.readings.piecewise[0] == "last_hidden_state"


def test_positions_that_are_not_taken_to_the_frame_of_the_group(monkeypatch):
    monkeypatch.setattr(memenc.backbones.attention, "begins", lambda *sizes: 0 * begins(*sizes))
    found = examined(build("windowed_above_segment", "llama"))
    assert told(found, "how a document is handed over") and found.readings.piecewise[0] == "last_hidden_state"
