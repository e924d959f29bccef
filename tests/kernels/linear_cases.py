"""Inputs of linear memory: documents that write all, some or no segments, read before or not."""

import random

import torch

# batch, segments, heads, key_value_heads, tokens, written tokens, dim
SIZES = {
    "one of each": (1, 1, 1, 1, 1, 1, 4),
    "grouped": (2, 3, 4, 2, 7, 15, 16),
    "one over": (1, 2, 2, 2, 65, 63, 32),
    "not a power of two": (2, 2, 1, 1, 15, 33, 48),
    "wide": (1, 2, 1, 1, 7, 33, 128),
    "long": (1, 1, 1, 1, 127, 257, 64),
    "nothing to write": (2, 1, 2, 1, 5, 0, 32),
    "nothing to read": (2, 2, 2, 1, 0, 5, 32),
    "no documents": (0, 2, 2, 1, 3, 5, 32),
}


def random_inputs(size, dtype=torch.float32, device="cpu"):
    batch, segments, heads, groups, tokens, written, dim = size
    read_before = torch.rand(batch, device=device) < 0.5
    complete = torch.rand(batch, segments, device=device) < 0.7
    queries, keys, values = (
        torch.randn(batch, segments, count, length, dim, device=device).to(dtype)
        for count, length in ((heads, tokens), (groups, written), (groups, written))
    )
    return {
        "queries": queries,
        "keys": keys,
        "values": values,
        "matrix": torch.randn(batch, groups, dim, dim, device=device) * read_before[:, None, None, None],
        "normaliser": (10 * torch.rand(batch, groups, dim, device=device) + 1) * read_before[:, None, None],
        "complete": complete,
        "known": known_before(read_before, complete),
    }


def known_before(read_before, complete):
    """Whether anything was written before each segment."""
    return read_before[:, None].long() + complete.long().cumsum(1) > complete


def random_options(segments):
    cuts = tuple(random.random() < 0.5 for _ in range(segments))
    return {"rule": random.choice(("linear", "delta")), "cuts": random.choice(((), cuts))}


def strided(inputs):
    """The same numbers as views: heads behind tokens, states within something larger, masks expanded."""
    views = dict(inputs)
    for name in ("queries", "keys", "values"):
        views[name] = inputs[name].transpose(2, 3).contiguous().transpose(2, 3)
    views["keys"] = inputs["keys"].transpose(3, 4).contiguous().transpose(3, 4)
    views["matrix"] = torch.cat([inputs["matrix"]] * 2, 1)[:, ::2]
    views["matrix"].copy_(inputs["matrix"])
    views["complete"] = inputs["complete"][:, :1].expand(-1, inputs["complete"].shape[1])
    views["known"] = known_before(inputs["normaliser"].flatten(1).any(1), views["complete"])
    return views
