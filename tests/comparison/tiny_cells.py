"""Cells that are trained for real, in a moment."""

from memenc.comparison.cells import cells_of
from tests.comparison.made_up import settings

TINY = {
    "encoder": {"layers": 2, "hidden": 16, "heads": 2},
    "training": {"steps": 2, "segments": 3, "documents": 4, "check": 1, "validation_documents": 4},
    "testing": {"documents": 64, "tokens": 64, "truncated_segments": 3, "growing_segments": 4},
    "tasks": ["rewrite"],
    "published": [],
    "seeds": [0],
    "lengths": [2, 5],
}


def cell_of(name, kind="designs", **changes):
    chosen = {"designs": [], "baselines": []} | {kind: [name]}
    (cell,) = cells_of(settings(**(TINY | chosen | changes)))
    return cell
