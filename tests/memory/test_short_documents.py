"""Short documents, whose rows are cut below a segment, under compressions whose rate divides no usual number."""

import pytest
import torch

from tests.memory.checks import build, ragged, tokens
from tests.memory.designs import Design

ODD_RATES = [
    ("compressive", {"window": 48, "slots": 8, "rate": 6}),
    ("compressive", {"window": 16, "slots": 8, "rate": 16, "compression": "convolution"}),
    ("pyramid", {"window": 48, "levels": 1, "slots": 6, "rate": 6}),
    ("windowed+compressive", {"windowed": {"window": 48}, "compressive": {"window": 48, "slots": 8, "rate": 6}}),
]


@pytest.mark.parametrize(("memory", "options"), ODD_RATES)
@torch.no_grad()
def test_short_documents_are_read_whatever_the_rate(memory, options):
    model = build(Design(memory, options), segment_length=48)
    long = tokens(100)
    for length in (0, 1, 5, 20, 37, 44, 45):
        short = tokens(length)
        alone = model(short[None])
        ids, mask = ragged([short, long])
        beside = model(ids, mask)
        torch.testing.assert_close(alone.pooler_output[0], beside.pooler_output[0])
        then = model(long[None], memory=alone.memory)
        at_once = model(torch.cat([short, long])[None])
        torch.testing.assert_close(then.pooler_output, at_once.pooler_output)
