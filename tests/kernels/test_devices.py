"""Every tensor lies on the device of the first: a kernel would read any other's address as its own device's."""

from dataclasses import fields, replace

import pytest
import torch

from memenc_kernels import (
    Line,
    Rotation,
    compress,
    document_pooling,
    gated_update,
    linear_memory,
    memory_attention,
    rotate,
)
from memenc_kernels.ring_append import ring_append
from tests.kernels import compression_cases, gated_cases, linear_cases, pooling_cases, ring_cases
from tests.kernels.lines import problem

INPUTS = {
    linear_memory: lambda: linear_cases.random_inputs((1, 2, 2, 1, 3, 5, 4)),
    document_pooling: lambda: pooling_cases.random_inputs((2, 3, 4, 2, 2)),
    gated_update: lambda: gated_cases.random_inputs((2, 1, 3, 4), "lstm"),
    compression_cases.with_kernels(compress): lambda: {
        **compression_cases.random_inputs((1, 2, 3, 2, 4), "convolution"),
        **{"rate": 2, "kind": "convolution"},
    },
}


def refused():
    return pytest.raises(ValueError, match=r"on meta.*move one of them")


def elsewhere(tensor):
    return tensor.to("meta")


@pytest.mark.parametrize("function", INPUTS)
def test_updates(function):
    given = INPUTS[function]()
    function(**given)
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            with refused():
                function(**given | {name: elsewhere(value)})


def test_attention():
    given = problem((2, 3, 2, 1, 7, 16, [(15, 7)]))
    (line,) = given["lines"]
    memory_attention(**given)
    moved = [{name: elsewhere(given[name])} for name in ("queries", "keys", "values", "valid")]
    moved += [{"lines": [replace(line, **{x.name: elsewhere(getattr(line, x.name))})]} for x in fields(Line)]
    assert len(moved) == 11
    for each in moved:
        with refused():
            memory_attention(**given | each)


def test_ring():
    size = (2, 1, 2, 6, 2, 2, 4, 8)
    query, kernels = (ring_cases.random_how(size, kind) for kind in ("learned_query", "convolution"))
    rings, tokens = ring_cases.empty_rings(size), torch.zeros(2, dtype=torch.long)
    keys, values, lengths = ring_cases.random_segment(size)
    first, second = kernels.kernels
    for how in (query._replace(query=elsewhere(query.query)), kernels._replace(kernels=(first, elsewhere(second)))):
        with refused():
            ring_append(rings, tokens, keys, values, lengths, window=2, how=how)
    moved = [{0: rings._replace(slot_keys=elsewhere(rings.slot_keys))}]
    moved += [{place: elsewhere(each)} for place, each in enumerate((tokens, keys, values, lengths), 1)]
    for each in moved:
        given = dict(enumerate((rings, tokens, keys, values, lengths))) | each
        with refused():
            ring_append(*given.values(), window=2, how=query)


def test_rotation():
    tokens, table = torch.randn(2, 5, 8), torch.randn(5, 3)
    for moved in ((elsewhere(table), table), (table, elsewhere(table))):
        with refused():
            rotate(tokens, Rotation(*moved))
