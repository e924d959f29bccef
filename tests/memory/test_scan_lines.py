"""Designs whose states of a group lie on one line: the same as reading and writing segment by segment."""

import random
from dataclasses import replace

import pytest
import torch

from memenc.backbones.placement import begins, placed, share_entries
from memenc.memory import LayerSizes, SegmentGroup, WritePlan, build_memory
from memenc.memory.parts import scan as scanning
from memenc.memory.parts.scan import scan_in_order
from memenc.testing.comparing import difference
from memenc_kernels import Rotation, rotate
from memenc_kernels.memory_attention.gather import gathered

SIZES = LayerSizes(heads=4, key_value_heads=2, head_dim=6, segment_length=8)
OPTIONS = {
    "a window of one segment": ("windowed", {"window": 8}),
    "shorter": ("windowed", {"window": 3}),
    "longer": ("windowed", {"window": 20}),
    "slots, a window of one segment": ("compressive", {"window": 8, "slots": 4, "rate": 2}),
    "few slots, short window": ("compressive", {"window": 4, "slots": 3, "rate": 2}),
    "many slots, long window": ("compressive", {"window": 12, "slots": 9, "rate": 4, "compression": "convolution"}),
    "slots alone": ("compressive", {"window": 0, "slots": 5, "rate": 4, "compression": "learned_query"}),
}


FREQUENCIES = torch.tensor([1.0, 0.3], dtype=torch.float64)


def turn(tokens, positions):
    return rotate(tokens, Rotation.by(positions, FREQUENCIES, interleaved=False, dtype=torch.float64))


def group(segments, written):
    """Random segments, states that already hold something, and the plan of documents that write their first ones."""
    batch = len(written)
    shape = (batch, segments, SIZES.key_value_heads, SIZES.segment_length, SIZES.head_dim)
    complete = torch.arange(segments) < torch.tensor(written)[:, None]
    kinds = ["all" if column.all() else "some" if column.any() else "none" for column in complete.T]
    tensors = torch.randn(3, *shape, dtype=torch.float64)
    own_places = Rotation.by(torch.arange(SIZES.segment_length), FREQUENCIES, interleaved=False, dtype=torch.float64)
    return SegmentGroup(*tensors, rotation=own_places), WritePlan(complete, tuple(kinds), in_order=True)


def filled(memory, documents, segments):
    """A state after some segments."""
    before, plan = group(segments, [random.randint(0, segments) for _ in range(documents)])
    return scan_in_order(memory, memory.initial_state(documents, before.keys), before, plan).state


def logits(lines, segments):
    """Of queries under the keys they see, (rows, heads, entries, tokens), and what else was gathered."""
    queries = segments.queries.flatten(0, 1)
    frame = SIZES.segment_length if share_entries(lines) else None
    seen = gathered([placed(line, turn, frame) for line in lines], queries.repeat_interleave(2, 1), placed=True)
    if frame:
        queries = turn(queries, begins(len(queries), len(segments.values), frame, queries.device))
    return seen | {"logits": seen.pop("memory_keys") @ queries.mT}


def differences(memory, state, segments, plan):
    """What a scan gives otherwise than segment by segment, by name."""
    found, wanted = memory.scan(state, segments, plan), scan_in_order(memory, state, segments, plan)
    # To the bit; but slots of several segments are compressed in one call, whose shape rounds otherwise (I1).
    apart = 1e-12 if hasattr(memory, "compressor") else 0.0
    same = {f"state {name}": difference(found.state[name], wanted.state[name]) <= apart for name in wanted.state}
    left, right = (logits(scanned.lines, segments) for scanned in (found, wanted))
    # Behind the last segment that a document writes and the one that follows, nothing is read.
    reads = torch.cat([torch.ones_like(plan.complete[:, :1]), plan.complete[:, :-1]], 1).flatten()
    for name in ("memory_bias", "memory_positions"):
        same[name] = torch.equal(left[name], right[name].to(left[name].dtype))
    valid = right["memory_valid"][reads]
    same["memory_valid"] = torch.equal(left["memory_valid"][reads], valid)
    for name in ("logits", "memory_values"):
        # Entries that are not valid are nobody's.
        error = (left[name] - right[name])[reads] * valid[:, None, :, None]
        same[name] = bool(error.abs().max() < 1e-12)
    return [name for name, equal in same.items() if not equal]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("segments", [2, 5])
def test_one_line_is_what_comes_segment_by_segment(option, segments):
    name, options = OPTIONS[option]
    memory = build_memory(name, SIZES, options).double()
    for parameter in memory.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for written in ([segments] * 3, [segments, random.randint(0, segments), 0]):
        assert differences(memory, filled(memory, 3, 3), *group(segments, written)) == []


def test_a_line_that_is_shifted_is_noticed(monkeypatch):
    memory = build_memory("windowed", SIZES, {"window": 20}).double()
    given = filled(memory, 2, 4), *group(4, [4, 2])
    assert differences(memory, *given) == []
    original = scanning.after_line
    monkeypatch.setattr(
        "memenc.memory.windowed.after_line", lambda line, plan: tuple(x.roll(1, 2) for x in original(line, plan))
    )
    assert differences(memory, *given)


@pytest.mark.parametrize("option", OPTIONS)
def test_segments_left_out_and_gradient_cuts_go_one_by_one(option):
    name, options = OPTIONS[option]
    memory = build_memory(name, SIZES, options).double()
    state, (segments, plan) = filled(memory, 2, 2), group(3, [3, 3])
    for harder in (replace(plan, in_order=False), replace(plan, cut=(False, True, False))):
        assert not harder.is_one_line()
        assert differences(memory, state, segments, harder) == []
    assert plan.is_one_line() and replace(plan, cut=(True, False, False)).is_one_line()


def test_a_cut_before_the_group_cuts_what_was_kept():
    memory = build_memory("windowed", SIZES, {"window": 12}).double()
    state, (segments, plan) = filled(memory, 1, 2), group(2, [2])
    state = {name: x.requires_grad_() if x.is_floating_point() else x for name, x in state.items()}
    free, cut = (memory.scan(state, segments, replace(plan, cut=(first, False))).lines[0] for first in (False, True))
    assert free.head_keys.requires_grad and not cut.head_keys.requires_grad


def test_one_frame_gives_the_distances_of_each_segment():
    memory = build_memory("compressive", SIZES, {"window": 12, "slots": 9, "rate": 4}).double()
    segments, plan = group(4, [4, 4])
    lines = memory.scan(filled(memory, 2, 3), segments, plan).lines
    assert share_entries(lines)
    found = logits(lines, segments)["logits"]
    plain = [
        replace(line, body_keys=each) for line, each in zip(lines, (lines[0].body_keys, segments.keys), strict=True)
    ]
    queries = segments.queries.flatten(0, 1)
    own = gathered(plain, queries.repeat_interleave(2, 1), placed=True)["memory_keys"]
    wanted = turn(own, torch.cat([line.positions for line in lines])) @ queries.mT
    assert (found - wanted).abs().max() < 1e-12


def test_a_rotation_is_taken_off_when_asked_for():
    segments, _ = group(3, [3, 3])
    kept = segments.last_keys(2)
    assert "keys" not in vars(segments) and "queries" not in vars(segments)
    assert torch.equal(kept, segments.keys[:, 1:]) and torch.equal(segments.last_keys(2), kept)
    assert (turn(segments.keys, torch.arange(SIZES.segment_length)) - segments.rotated_keys).abs().max() < 1e-12
    assert (segments.keys - segments.rotated_keys).abs().max() > 0.1
