"""One step of streaming inference: attention over a ring and linear memory, and what a segment writes to both."""

import torch

from memenc_kernels import Line, linear_memory, memory_attention
from memenc_kernels.ring_append import How, Rings, ring_append
from tests.kernels.compare import error

BATCH, HEADS, TOKENS, DIM, PLACES, SLOTS, WINDOW, RATE = 2, 2, 8, 16, 16, 5, 8, 4
OF_SEGMENT = ("queries", "keys", "values", "lengths", "complete", "known", "valid")
STATE = (*Rings._fields, "count", "matrix", "normaliser")


def random_step(device="cpu"):
    """A segment of every document, and what was read before, by name."""

    def random(*shape):
        return torch.randn(BATCH, *shape, device=device)

    shapes = dict.fromkeys(("queries", "keys", "values"), (HEADS, TOKENS, DIM))
    shapes |= dict.fromkeys(("window_keys", "window_values"), (HEADS, PLACES, DIM))
    shapes |= dict.fromkeys(("slot_keys", "slot_values"), (HEADS, SLOTS, DIM))
    whole = {"count": torch.randint(5, (BATCH,)), "lengths": torch.randint(TOKENS // RATE + 1, (BATCH,))}
    masks = {"complete": (1,), "known": (1,), "valid": (1, PLACES)}
    return {
        **{name: random(*shape) for name, shape in shapes.items()},
        **{name: (RATE * count).to(device) for name, count in whole.items()},
        **{name: random(*shape) > 0 for name, shape in masks.items()},
        "matrix": random(HEADS, DIM, DIM),
        "normaliser": random(HEADS, DIM).square() + 1,
    }


def converted(given, dtype):
    """The same numbers in buffers of their own."""
    return {name: x.to(dtype, copy=True) if x.is_floating_point() else x.clone() for name, x in given.items()}


def step(given, implementation):
    """What the segment reads, by name; `given` holds the state after it."""
    rings = Rings(*(given[name] for name in Rings._fields))
    three = [given[name] for name in ("queries", "keys", "values")]
    line = Line(rings.window_keys, rings.window_values, valid=given["valid"])
    attended = memory_attention(*three, lines=[line], implementation=implementation)
    state = {name: given[name] for name in ("matrix", "normaliser", "complete", "known")}
    memory = linear_memory(*(each[:, None] for each in three), **state, implementation=implementation)
    options = {"window": WINDOW, "how": How(RATE), "implementation": implementation}
    given["count"].copy_(ring_append(rings, given["count"], *three[1:], given["lengths"], **options))
    given["matrix"].copy_(memory.matrix), given["normaliser"].copy_(memory.normaliser)
    return {"attended": attended, "retrieved": memory.retrieved}


def next_segment(given, exact):
    """Put the same random segment into both."""
    fresh = random_step(given["keys"].device)
    for buffers in (given, exact):
        for name in OF_SEGMENT:
            buffers[name].copy_(fresh[name])


def largest_error(results, given, wanted, exact):
    """Of all that was read, and of the state behind it."""
    pairs = [(results[name], wanted[name]) for name in wanted] + [(given[name], exact[name]) for name in STATE]
    return max(error(*pair) for pair in pairs)
