"""What the tests of liveness share."""

from dataclasses import replace

from memenc.diagnostics import liveness
from memenc.memory import LayerMemory
from memenc.memory.linear import LinearMemory
from tests.memory.checks import CAPACITY, tokens

SEGMENTS = 6
WINDOW, LINEAR, GATED = "windowed_one_segment", "linear", "gated_ema"


def examine(model, **options):
    return liveness(model, tokens(2, SEGMENTS * CAPACITY), **options)


def told(found, *words):
    """The problems in which all these words stand."""
    return [problem for problem in found.problems() if all(word in problem for word in words)]


def plant(monkeypatch, kind, write):
    """Let designs of this kind leave `write(memory, state, after)`, where they would leave `after`."""
    right, scan = kind.write, kind.scan
    monkeypatch.setattr(kind, "write", lambda self, state, segment: write(self, state, right(self, state, segment)))

    def along(memory, state, segments, plan):
        scanned = scan(memory, state, segments, plan)
        return replace(scanned, state=write(memory, state, scanned.state)) if plan.written[0] == "all" else scanned

    # Some run along a group in their own way; here groups are of one segment.
    monkeypatch.setattr(kind, "scan", along if kind is LinearMemory else LayerMemory.scan)
