"""Designs that choose or merge what they keep, against their formulas applied to the list of all segments."""

import pytest
import torch

from memenc.memory import LayerSizes, Segment, build_memory
from tests.memory.test_formulas import DIM, GROUPS, HEADS, LENGTH, line, random_memory, segments, states_along


@pytest.mark.parametrize(("levels", "slots", "window", "rate"), ((2, 4, 4, 2), (1, 8, 0, 4), (3, 4, 8, 2)))
@torch.no_grad()
def test_pyramid_holds_means_of_ever_longer_stretches(levels, slots, window, rate):
    memory = build_memory(
        "pyramid",
        LayerSizes(HEADS, GROUPS, DIM, LENGTH),
        {"levels": levels, "slots": slots, "window": window, "rate": rate},
    ).double()
    read = segments(23)
    for count, state in enumerate(states_along(memory, read)):
        entries, rest = memory.read(state), line(read[:count], "keys")
        wanted = [rest[:, :, max(0, rest.shape[2] - window) :]]
        rest = rest[:, :, : max(0, rest.shape[2] - window)]
        for _ in range(levels):
            whole = rest.unflatten(2, (-1, rate)).mean(3) if rest.shape[2] else rest
            wanted.insert(0, whole[:, :, max(0, whole.shape[2] - slots) :])
            rest = whole[:, :, : max(0, whole.shape[2] - slots)]
        below, got = torch.cat(wanted, 2), entries.keys[:, :, memory.top :][:, :, entries.valid[0, memory.top :]]
        assert torch.allclose(got, below, rtol=0, atol=1e-12)
        assert entries.valid[:, memory.top :].sum(1).tolist() == [below.shape[2]] * 2
        # What left the last level: slot j of the top is the mean of all that left in the j-th part of a segment.
        assert state["counts"].sum(1).tolist() == [rest.shape[2]] * 2
        if rest.shape[2]:
            weighted = (entries.keys[:, :, : memory.top] * state["counts"][:, None, :, None]).sum(2)
            assert (weighted - rest.sum(2)).abs().max() < 1e-10


@torch.no_grad()
def test_no_token_leaves_a_pyramid():
    memory, read = (
        build_memory("pyramid", LayerSizes(1, 1, DIM, LENGTH), {"window": 4, "slots": 4, "rate": 2}),
        segments(40),
    )
    read = [Segment(s.queries[:, :1], s.keys[:, :1], s.values[:, :1]) for s in read]
    state, memory = list(states_along(memory.double(), read))[-1], memory
    spans = torch.cat([state["counts"] * 4, torch.tensor([[4.0] * 4 + [2.0] * 4 + [1.0] * 4] * 2)], 1)
    assert spans.sum(1).tolist() == [40 * LENGTH] * 2
    total = (memory.read(state).values[:, 0] * spans[..., None]).sum(1)
    assert (total - torch.stack([s.values[:, 0].sum(1) for s in read]).sum(0)).abs().max() < 1e-9


@pytest.mark.parametrize(("pinned", "window"), ((3, 4), (8, 8), (19, 5)))
@torch.no_grad()
def test_global_pins_the_first_tokens_once_they_leave_the_window(pinned, window):
    memory, read = random_memory("global", keep="first", pinned=pinned, window=window), segments(6)
    for count, state in enumerate(states_along(memory, read)):
        entries, tokens = memory.read(state), line(read[:count], "values")
        left = min(pinned, max(0, tokens.shape[2] - window))
        assert entries.valid[:, :pinned].sum(1).tolist() == [left] * 2 and entries.valid[:, :left].all()
        assert torch.equal(entries.values[:, :, :left], tokens[:, :, :left])
        kept = min(window, tokens.shape[2])
        assert torch.equal(entries.values[:, :, pinned + window - kept :], tokens[:, :, tokens.shape[2] - kept :])


@torch.no_grad()
def test_global_pins_what_was_attended_to_most():
    memory, read = random_memory("global", keep="attended", pinned=3, window=8), segments(6, batch=2)
    tokens = {}
    for count, state in enumerate(states_along(memory, read)):
        if count < 2:
            continue
        before, newest = read[count - 2], read[count - 1]
        for batch in range(2):
            for group in range(GROUPS):
                kept = tokens.setdefault((batch, group), [])
                keys = torch.stack([key for key, _ in kept] + list(before.keys[batch, group]))
                heads = newest.queries[batch, group * 2 : group * 2 + 2].flatten(0, 1)
                mass = (heads @ keys.T / DIM**0.5).softmax(-1).mean(0)
                old = torch.tensor([m for _, m in kept] + [-1.0] * LENGTH)
                best = mass.maximum(old.double())
                chosen = best.topk(3).indices
                tokens[batch, group] = [(keys[i], best[i].item()) for i in chosen]
                got = memory.read(state).keys[batch, group, :3]
                assert (got - keys[chosen]).abs().max() < 1e-12


@pytest.mark.parametrize("gate", ("ema", "lstm"))
@torch.no_grad()
def test_gated_slots_follow_their_formula(gate):
    memory, read = random_memory("gated", slots=3, gate=gate), segments(4)
    states = list(states_along(memory, read))
    for count, segment in enumerate(read):
        for batch in range(2):
            for group in range(GROUPS):
                slots = [states[count][name][batch, group] for name in ("keys", "values")]
                tokens = [getattr(segment, name)[batch, group] for name in ("keys", "values")]
                seen = [torch.cat([s, t]) if count else t for s, t in zip(slots, tokens, strict=True)]
                queries = memory.identity[group] + slots[0] @ memory.query_weight[group]
                weights = (queries @ seen[0].T / DIM**0.5).softmax(-1)
                for both, name in enumerate(("keys", "values")):
                    found = weights @ seen[both]
                    wanted = content = found @ memory.content_weight[both, group]
                    if count and gate == "ema":
                        keep = memory.keep_logits[both, group].sigmoid()
                        wanted = keep * slots[both] + (1 - keep) * content
                    elif count:
                        keep = (found @ memory.keep_weight[both, group] + memory.keep_logits[both, group]).sigmoid()
                        take = (found @ memory.take_weight[both, group] + memory.take_logits[both, group]).sigmoid()
                        wanted = keep * slots[both] + take * content
                    longest = 2 * tokens[both].norm(dim=-1).max()
                    wanted = wanted * (longest / wanted.norm(dim=-1, keepdim=True)).clamp(max=1.0)
                    got = states[count + 1][name][batch, group]
                    assert (got - wanted).abs().max() < 1e-11


@torch.no_grad()
def test_a_fresh_gated_slot_forgets_at_its_own_speed():
    memory = build_memory("gated", LayerSizes(HEADS, GROUPS, DIM, LENGTH), {"slots": 5}).double()
    kept = memory.keep_logits.sigmoid()[0, 0, :, 0]
    assert kept.diff().min() > 0 and 0.49 < kept[0] < 0.51 and 0.999 < kept[-1] < 0.9992
