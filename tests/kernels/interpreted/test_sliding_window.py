"""Memory attention within a sliding window: what lies out of reach is not touched, and nothing else is left out."""

import random
from dataclasses import replace

import pytest
import torch

from memenc_kernels import launch
from memenc_kernels.memory_attention.blocks import Entries
from tests.kernels.compare import EXACT
from tests.kernels.interpreted.reach import within_reach
from tests.kernels.lines import converted, differences, errors, everything, problem, random_weights

WINDOW = 9

PLACES = {
    "a window": lambda entries: torch.arange(-entries, 0.0),
    "slots that tokens share": lambda entries: -4.0 * torch.arange(entries).flip(0) - 2.5,
    "any order": lambda entries: -torch.randperm(entries) - 1.0,
    "among the tokens": lambda entries: torch.arange(entries) + 20.0,
    "all out of reach": lambda entries: torch.full((entries,), -99.5),
    "near to all, or never": lambda entries: torch.where(torch.arange(entries) < 40, torch.nan, -torch.inf),
}


def placed(size, places, masks=True):
    """Arguments of memory_attention, the entries at these places."""
    arguments = problem(size, masks=masks)
    lines = [replace(each, positions=PLACES[places](each.entries)) for each in arguments["lines"]]
    return arguments | {"lines": lines}


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("causal", (False, True), ids=("both ways", "causal"))
def test_wherever_entries_lie(places, causal):
    arguments = placed((1, 2, 2, 1, 65, 16, [(97, 65), (33, 7)]), places)
    assert not differences(arguments, {"sliding_window": WINDOW, "causal": causal})


def ends(seen):
    """The first place that is seen and the one behind the last; None if there is none."""
    places = seen.nonzero()[:, 0].tolist()
    return [places[0], places[-1] + 1] if places else None


@pytest.mark.parametrize("places", PLACES)
def test_ranges_are_neither_too_wide_nor_too_narrow(places):
    for _ in range(20):
        entries, start, block, window = (random.randint(*limits) for limits in ((1, 60), (0, 99), (1, 40), (1, 50)))
        tokens, positions = random.randint(1, 99), PLACES[places](entries).float()
        line = Entries(*[None] * 6, positions=positions, entries=entries, step=0)
        found = torch.empty(4, dtype=torch.int32)
        arguments = {"earliest": start, "latest": start + block - 1, "tokens": tokens, "window": window}
        launch.start(within_reach, (1,), positions, line=line, found=found, BLOCK=64, **arguments)
        asking = torch.arange(start, start + block)[:, None], torch.arange(tokens)[:, None]
        near, asks = (((queries - positions).abs() < window) | positions.isnan() for queries in asking)
        for (first, last), seen in zip(found.view(2, 2).tolist(), (near.any(0), asks.any(1)), strict=True):
            assert ends(seen) == ([first, last] if first < last else None)


# Blocks of queries and of keys hold 32 in the interpreter.
TOKENS, ENTRIES, READ, UNREAD = 96, 160, slice(32), slice(64, None)


def aligned():
    """A problem whose lines, segments and blocks end together."""
    return placed((1, 2, 2, 1, TOKENS, 16, [(ENTRIES, TOKENS)]), "a window", masks=False)


def spoiled(tensor, places):
    """A copy with NaN at these places of the last axis but one."""
    tensor = tensor.clone()
    tensor[..., places, :] = torch.nan
    return tensor


def compared(clean, changes, weights):
    """What Triton makes of the problem with these changes, and the reference in float64 of it without."""
    options = {"sliding_window": WINDOW}
    exact = converted(clean, lambda tensor: tensor.double().requires_grad_())
    given = converted(clean | changes, lambda tensor: tensor.detach().requires_grad_())
    return everything(given, options, weights, "triton"), everything(exact, options, weights, "torch")


def assert_equal(found, wanted, places=slice(None), of=None):
    """Errors of the results `of` these names (all if left out) at these places of the last axis but one."""
    pairs = [{name: x[..., places, :] for name, x in each.items() if not of or name in of} for each in (found, wanted)]
    wrong = {name: error for name, error in errors(*pairs).items() if not error <= EXACT}
    assert pairs[0] and not wrong


def test_entries_out_of_reach_are_not_read():
    arguments = aligned()
    (line,) = arguments["lines"]
    # Of the entries of every segment the last 32 are read: these places are not among them for any.
    heads = {name: spoiled(getattr(line, name), slice(ENTRIES - 32)) for name in ("head_keys", "head_values")}
    bodies = {name: spoiled(getattr(line, name), slice(TOKENS - 32)) for name in ("body_keys", "body_values")}
    lines = {"lines": [replace(line, **heads, **bodies)]}
    assert_equal(*compared(arguments, lines, random_weights(arguments)))


def test_tokens_out_of_reach_are_not_read():
    arguments = aligned()
    own = {name: spoiled(arguments[name], UNREAD) for name in ("keys", "values")}
    results = compared(arguments, own, random_weights(arguments))
    assert_equal(*results, READ, of=("output", "log weight", "queries"))


def test_queries_out_of_reach_are_not_asked():
    arguments = aligned()
    weights = random_weights(arguments)
    for weight in weights:
        weight[..., UNREAD, :] = 0.0
    results = compared(arguments, {"queries": spoiled(arguments["queries"], UNREAD)}, weights)
    assert_equal(*results, READ, of=("keys", "values"))
    assert_equal(*results, of=[name for name in results[0] if name.startswith("line")])
