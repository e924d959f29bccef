"""What memories look up joins attention by its formula: one softmax where it is one, scaled as the layer does."""

from dataclasses import replace

import torch

from memenc.memory import build_memory
from memenc.memory.values import Added, Joined, all_joined
from tests.memory.test_formulas import DIM, GROUPS, HEADS, SIZES, segments, states_along
from tests.memory.test_formulas_of_lookup import random_queries


@torch.no_grad()
def test_joining_in_one_softmax_equals_attention_over_everything():
    queries, keys, values = random_queries(), *(torch.randn(2, HEADS, 9, DIM).double() for _ in range(2))
    logits = queries @ keys.mT
    wanted = logits.softmax(-1) @ values
    near, far = slice(0, 4), slice(4, 9)
    local, weight = logits[..., near].softmax(-1) @ values[:, :, near], logits[..., near].logsumexp(-1, keepdim=True)
    memory = Joined(logits[..., far].softmax(-1) @ values[:, :, far], logits[..., far].logsumexp(-1, keepdim=True))
    assert (memory.join(local, lambda: weight) - wanted).abs().max() < 1e-12
    nothing = Joined(torch.full_like(local, 3.0), torch.full_like(weight, -torch.inf))
    assert torch.equal(nothing.join(local, lambda: weight), local)
    assert torch.equal(nothing.join(local, lambda: torch.full_like(weight, -torch.inf)), local)
    assert torch.equal(Added(local).join(local, lambda: weight), 2 * local)


def test_all_that_joins_is_one_softmax():
    queries, keys, values = random_queries(), *(torch.randn(2, HEADS, 12, DIM).double() for _ in range(2))
    logits = (queries @ keys.mT).requires_grad_()

    def part(stretch):
        there = logits[..., stretch]
        return there.softmax(-1) @ values[:, :, stretch], there.logsumexp(-1, keepdim=True)

    local, weight = part(slice(0, 4))
    nothing = Joined(torch.full_like(local, 3.0), torch.full_like(weight, -torch.inf))
    found = (Joined(*part(slice(4, 7))), nothing, Joined(*part(slice(7, 12))), nothing)
    outcome = all_joined(local, weight, found)
    assert (outcome - logits.softmax(-1) @ values).abs().max() < 1e-12
    (gradient,) = torch.autograd.grad(outcome.square().sum(), logits)
    (wanted,) = torch.autograd.grad((logits.softmax(-1) @ values).square().sum(), logits)
    assert (gradient - wanted).abs().max() < 1e-10
    empty = torch.full_like(weight, -torch.inf)
    assert torch.equal(all_joined(local, empty, (nothing, nothing)), local)
    assert torch.equal(all_joined(local, None, (Added(local), Added(local))), 3 * local)


@torch.no_grad()
def test_logits_are_scaled_as_those_of_the_layer():
    """Of one softmax over local attention and the archive: some backbones do not scale by the width of a head."""
    read, queries = segments(3), random_queries()
    for scaling in (None, 1 / 64, 1.0):
        sizes = replace(SIZES, scaling=scaling)
        memory = build_memory("nearest", sizes, {"nearest": 100, "join": "softmax"}).double()
        memory.archive_bias.zero_()
        (found,) = memory.retrieve(list(states_along(memory, read))[-1], queries)
        keys, values = (torch.cat([getattr(each, name) for each in read], 2) for name in ("keys", "values"))
        keys, values = (x.repeat_interleave(HEADS // GROUPS, 1) for x in (keys, values))
        logits = queries @ keys.mT * (DIM**-0.5 if scaling is None else scaling)
        assert (found.values - logits.softmax(-1) @ values).abs().max() < 1e-12
        assert (found.log_weight - logits.logsumexp(-1, keepdim=True)).abs().max() < 1e-12
