"""Designs that look up by themselves, or choose what to keep, against their formulas applied token by token."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from memenc.memory import LayerSizes, Segment, SegmentGroup, WritePlan, build_memory
from memenc.memory.values import Added, Joined, Mixed
from tests.memory.test_formulas import DIM, GROUPS, HEADS, LENGTH, line, random_memory, segments, states_along


def together(read, extra=None):
    """Segments as one group."""
    return SegmentGroup(*(torch.stack([getattr(s, n) for s in read], 1) for n in ("queries", "keys", "values")), extra)


def random_queries():
    return torch.randn(2, HEADS, 5, DIM, dtype=torch.float64)


def positive(x):
    return torch.where(x > 0, x + 1, x.exp())


@pytest.mark.parametrize("rule", ("linear", "delta"))
@torch.no_grad()
def test_linear_retrieves_by_its_formula(rule):
    memory, read, queries = random_memory("linear", rule=rule), segments(5), random_queries()
    states = list(states_along(memory, read))
    for batch in range(2):
        for head in range(HEADS):
            group = head // (HEADS // GROUPS)
            matrix, normaliser = torch.zeros(DIM, DIM).double(), torch.zeros(DIM).double()
            for count, state in enumerate(states):
                found = memory.retrieve(state, queries)[0]
                if count:
                    feature = positive(queries[batch, head])
                    wanted = (feature @ matrix) / (feature @ normaliser)[:, None]
                    assert (found.values[batch, head] - wanted).abs().max() < 1e-10
                    assert found.share[batch, head].item() == pytest.approx(memory.gate_logits[head].sigmoid().item())
                else:
                    assert not found.share.any() and found.values.isfinite().all()
                if count == len(read):
                    break
                change, seen = torch.zeros_like(matrix), torch.zeros_like(normaliser)
                for token in range(LENGTH):
                    key = positive(read[count].keys[batch, group, token])
                    value = read[count].values[batch, group, token]
                    if rule == "delta" and count:
                        value = value - (key @ matrix) / (key @ normaliser)
                    change, seen = change + torch.outer(key, value), seen + key
                matrix, normaliser = matrix + change, normaliser + seen


@pytest.mark.parametrize("rule", ("linear", "delta"))
@torch.no_grad()
def test_a_wide_head_is_cut_into_blocks(rule):
    wide = build_memory("linear", LayerSizes(1, 1, 258, LENGTH, pools=True), {"rule": rule}).double()
    assert wide.blocks == 3 and wide.gate_logits.sigmoid().item() == 0.5
    narrow = build_memory("linear", LayerSizes(3, 3, 86, LENGTH), {"rule": rule}).double()
    one = [Segment(*(torch.randn(2, 1, LENGTH, 258).double() for _ in range(3))) for _ in range(3)]
    apart = [Segment(*(in_heads(x) for x in (s.queries, s.keys, s.values))) for s in one]
    queries = torch.randn(2, 1, 4, 258).double()
    whole, parts = list(states_along(wide, one))[-1], list(states_along(narrow, apart))[-1]
    found = narrow.retrieve(parts, in_heads(queries))[0].values
    assert (in_heads(wide.retrieve(whole, queries)[0].values) - found).abs().max() < 1e-12


def in_heads(x):
    return x.unflatten(-1, (3, 86)).squeeze(1).transpose(1, 2)


@pytest.mark.parametrize(("nearest", "entries"), ((3, None), (100, None), (3, 12), (7, 16)))
@torch.no_grad()
def test_nearest_attends_to_the_best_entries_only(nearest, entries):
    options = {"nearest": nearest, "entries": entries}
    gate, softmax = (random_memory("nearest", join=join, **options) for join in ("gate", "softmax"))
    read, queries = segments(4), random_queries()
    for count, (state, other) in enumerate(zip(states_along(gate, read), states_along(softmax, read), strict=True)):
        found, joined = gate.retrieve(state, queries)[0], softmax.retrieve(other, queries)[0]
        assert isinstance(found, Mixed) and isinstance(joined, Joined)
        if count == 0:
            assert not found.share.any() and (joined.log_weight == -torch.inf).all()
            continue
        keys, values = (line(read[:count], name)[:, :, -(entries or 10**6) :] for name in ("keys", "values"))
        keys, values = (x.repeat_interleave(HEADS // GROUPS, 1) for x in (keys, values))
        logits = queries @ keys.mT / DIM**0.5
        least = logits.topk(min(nearest, logits.shape[-1]), -1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
        assert (found.values - logits.softmax(-1) @ values).abs().max() < 1e-12
        assert torch.equal(found.values, joined.values)
        log_weight = logits.logsumexp(-1, keepdim=True) + softmax.archive_bias[:, None, None]
        assert (joined.log_weight - log_weight).abs().max() < 1e-12


@torch.no_grad()
def test_the_archive_is_searched_block_by_block(monkeypatch):
    memory, read, queries = random_memory("nearest", nearest=5), segments(6), random_queries()
    state = list(states_along(memory, read))[-1]
    whole = memory.retrieve(state, queries)[0].values
    for block in (1, 7, 48):
        monkeypatch.setattr("memenc.memory.parts.search.BLOCK", block)
        assert (memory.retrieve(state, queries)[0].values - whole).abs().max() < 1e-12


@torch.no_grad()
def test_documents_of_different_length_share_an_archive():
    memory, read = build_memory("nearest", LayerSizes(HEADS, GROUPS, DIM, LENGTH), {"nearest": 4}).double(), segments(4)
    queries, plan = random_queries(), torch.tensor([[True, False], [False, True], [True, True], [True, False]]).T
    group = together(read)
    state = memory.scan(memory.initial_state(2, queries), group, WritePlan(plan, ("some", "some", "all", "some"))).state
    assert state["filled"].tolist() == [3 * LENGTH, 2 * LENGTH]
    for batch in range(2):
        mine = [s for s, written in zip(read, plan[batch], strict=True) if written]
        alone = list(states_along(memory, mine))[-1]
        wanted, got = memory.retrieve(alone, queries)[0].values, memory.retrieve(state, queries)[0].values
        assert (got[batch] - wanted[batch]).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("name", "options", "message"),
    (
        ("pyramid", {"levels": 4}, "fewer levels"),
        ("pyramid", {"slots": 4, "window": 8}, "multiple of 16"),
        ("global", {"keep": "last"}, "choose one of"),
        ("gated", {"gate": "gru"}, "choose one of"),
        ("linear", {"rule": "hebb"}, "choose one of"),
        ("linear", {"initial_share": 1.0}, "between 0 and 1"),
        ("linear", {"initial_share": "abc"}, "initial_share='abc': give a number between 0 and 1"),
        ("nearest", {"initial_share": "abc"}, "initial_share='abc': give a number between 0 and 1"),
        ("windowed", {"initial_bias": "abc"}, "initial_bias='abc': give a finite number"),
        ("compressive", {"initial_bias": float("nan")}, "initial_bias=nan: give a finite number"),
        ("nearest", {"join": "add"}, "choose one of"),
        ("nearest", {"nearest": 0}, "at least 1"),
        ("nearest", {"store": "tape"}, "choose of"),
        ("nearest", {"search": "luck"}, "choose of"),
        ("nearest", {"store": "disk", "entries": 8}, "without bound"),
        ("windowed+windowed", {}, "twice"),
        ("windowed+lost", {}, "unknown memory 'lost'"),
        ("windowed+linear", {"window": 8}, "options by design"),
        ("windowed+linear", {"linear": {"window": 8}}, "no option window"),
    ),
)
def test_refuses_what_does_not_fit(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_memory(name, LayerSizes(HEADS, GROUPS, DIM, 16), options)


def test_feature_map_is_positive_everywhere():
    x = torch.linspace(-30, 30, 601).double()
    assert (functional.elu(x) + 1 - positive(x)).abs().max() < 1e-12


@pytest.mark.parametrize("write_cost", [0.0, 0.2])
@torch.no_grad()
def test_associative_writes_memory_tokens_by_its_formula(write_cost):
    memory = random_memory("associative", tokens=3, key_dim=2, write_cost=write_cost)
    read, queries = segments(5), random_queries()
    rows = [replace(each, extra=shorter(each)) for each in read]
    states = list(states_along(memory, rows))
    for batch in range(2):
        for head in range(HEADS):
            group = head // (HEADS // GROUPS)
            matrix, normaliser = torch.zeros(12, DIM).double(), torch.zeros(12).double()
            for count, state in enumerate(states):
                feature = features_of(queries[batch, head] @ memory.query_weight[head])
                found = memory.retrieve(state, queries)[0]
                weight = feature @ normaliser
                wanted = (feature @ matrix) / weight.clamp(min=1.0)[:, None]
                assert isinstance(found, Added)
                assert (found.values[batch, head] - wanted).abs().max() < 1e-9
                if count == len(rows):
                    break
                new, seen = matrix.clone(), normaliser.clone()
                together = features_of(rows[count].extra.keys[batch, group] @ memory.key_weight[group]).sum(0)
                for token in range(3):
                    key = rows[count].extra.keys[batch, group, token]
                    value = rows[count].extra.values[batch, group, token] @ memory.value_weight[group]
                    strength = (key @ memory.strength_weight[group] + memory.strength_bias[group]).sigmoid()
                    strength = (1.2 * strength - 0.1).clamp(0, 1) if write_cost else strength
                    phi = features_of(key @ memory.key_weight[group])
                    known, writing = phi @ normaliser, (phi @ together).clamp(min=1.0)
                    value = value - (phi @ matrix) / known.clamp(min=1.0)
                    new += torch.outer(phi, strength * value) / writing
                    seen += (1 - known).clamp(0, 1) * phi / writing * (strength if write_cost else 1.0)
                matrix, normaliser = new, seen


@torch.no_grad()
def test_what_is_not_worth_a_write_leaves_no_trace_where_writing_costs():
    memory = random_memory("associative", tokens=3, key_dim=2, write_cost=0.1)
    first, second = (replace(each, extra=shorter(each)) for each in segments(2))
    state = list(states_along(memory, [first]))[-1]
    memory.strength_weight.zero_()
    # A little below the strength that is cut to nothing, and a little above.
    for bias, same in ((-2.5, True), (-2.3, False)):
        memory.strength_bias.fill_(bias)
        after = memory.write(state, second)
        assert [torch.equal(after[name], state[name]) for name in sorted(state)] == [same, same]


def test_writing_costs_its_mean_strength_in_training():
    memory = random_memory("associative", tokens=3, key_dim=2, write_cost=0.3)
    group = together(segments(4), together([shorter(each) for each in segments(4)]))
    complete = torch.tensor([[True, True, False, True], [True, False, False, True]])
    plan = WritePlan(complete, ("all", "some", "none", "all"))
    state = memory.initial_state(2, group.values)
    with torch.no_grad():
        memory.strength_weight.zero_()
        memory.strength_bias.fill_(0.4)
    costs = memory.train().scan(state, group, plan).loss
    assert costs is not None
    strength = 1.2 / (1 + math.exp(-0.4)) - 0.1
    # Three segments of the first document, two of the second.
    assert costs.tolist() == pytest.approx([0.3 * 3 * strength, 0.3 * 2 * strength])
    assert memory.eval().scan(state, group, plan).loss is None
    with pytest.raises(ValueError, match="write_cost=-1: give a number of at least 0"):
        random_memory("associative", write_cost=-1)


def shorter(segment):
    return Segment(*(getattr(segment, name)[:, :, :3] for name in ("queries", "keys", "values")))


def features_of(x):
    """DPFP-3 by its definition: products of neighbours in relu([x, -x]), round the corner, then at length 1."""
    parts = torch.cat([x.clamp(min=0), (-x).clamp(min=0)], -1)
    width = parts.shape[-1]
    index = torch.arange(width)
    products = torch.cat([parts * parts[..., (index - shift) % width] for shift in (1, 2, 3)], -1)
    return products / products.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-6)


@torch.no_grad()
def test_associative_stays_bounded_whatever_is_written():
    memory = random_memory("associative", tokens=3, key_dim=2)
    segment = shorter(segments(1)[0])
    alike = replace(segment, keys=segment.keys[:, :, :1].expand_as(segment.keys))
    state = memory.initial_state(2, segment.values)
    longest = (segment.values @ memory.value_weight).norm(dim=-1).max()
    # One key from one token, then from all three, again and again: the paper's rule grows without end there.
    for index in range(200):
        extra = Segment(*(x[:, :, :1] for x in vars(alike).values() if x is not None)) if index == 0 else alike
        state = memory.write(state, replace(segment, extra=extra))
        assert state["matrix"].norm(dim=(-2, -1)).max() <= longest * (1 + 1e-9)
        assert state["normaliser"].norm(dim=-1).max() <= 1 + 1e-9
