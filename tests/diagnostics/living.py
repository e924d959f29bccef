"""What the tests of liveness share."""

from memenc.diagnostics import liveness
from tests.memory.checks import CAPACITY, tokens

SEGMENTS = 6
WINDOW, LINEAR, GATED = "windowed_one_segment", "linear", "gated_ema"


def examine(model, **options):
    return liveness(model, tokens(2, SEGMENTS * CAPACITY), **options)


def told(found, *words):
    """The problems in which all these words stand."""
    return [problem for problem in found.problems() if all(word in problem for word in words)]
