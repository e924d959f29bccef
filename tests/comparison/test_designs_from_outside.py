"""Memories of one's own in comparisons: imported, known to processes, computed again when their code changes."""

import importlib
import sys

import pytest

from memenc.comparison import ComparisonSettings, cells, compare
from memenc.comparison.cells import cells_of
from memenc.memory import register_memory
from memenc.memory.outside import import_modules
from memenc.memory.windowed import WindowedMemory
from tests.comparison.made_up import VALUES, settings
from tests.comparison.tiny_cells import TINY

OWN = {"imports": ["decayed_mean"], "designs": ["windowed", "decayed_mean", "windowed+decayed_mean"]}
ALONE = {"baselines": [], "published": [], "seeds": [0]}


def identities(**changes):
    found = cells_of(settings(**(OWN | ALONE | changes)))
    return [(cell.identity, cell.training_identity) for cell in found]


def test_the_identity_of_memencs_own_designs_stays_what_it_was(monkeypatch):
    """Comparisons that were begun go on by it; a change of it throws away weeks of computing."""
    monkeypatch.setattr(cells, "memenc_version", lambda: "0.1.0")
    values = {"tasks": ["memorize"], "designs": ["windowed"], "budgets": [2100], "seeds": [0], "lengths": [2, 8]}
    (cell,) = cells_of(ComparisonSettings.of(values))
    assert (cell.identity, cell.training_identity) == ("2804df047ad42f45", "dab07340effd4a05")


def test_the_identity_of_ones_own_follows_its_code(own_design):
    before = identities()
    assert identities() == before
    own_design.write_text(own_design.read_text() + "\n# another line\n")
    importlib.reload(sys.modules["decayed_mean"])
    after = identities()
    assert after[0] == before[0] and all(after[index] != before[index] for index in (1, 2))
    assert all(new != old for index in (1, 2) for new, old in zip(after[index], before[index], strict=True))


def test_what_is_imported_belongs_to_all_and_to_no_identity(own_design):
    found = settings(imports=["decayed_mean"], designs=["all"])
    assert "decayed_mean" in [design.name for design in found.designs] and found.imports == ("decayed_mean",)
    assert identities(designs=["windowed"]) == identities(designs=["windowed"], imports=[])


def test_code_that_cannot_be_read_is_refused(own_design):
    class Local(WindowedMemory):
        pass

    register_memory("local", Local)
    with pytest.raises(ValueError, match=r"the code of memory local cannot be read, .* move its class to a file"):
        identities(designs=["windowed+local"])


REFUSED = {
    "no list": ("decayed_mean", "imports='decayed_mean'; give a list"),
    "no names": ([3], r"imports=\(?\[?3.*; give a list of names"),
    "not there": (["decayed_median"], "there is no module 'decayed_median' to import"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_imports_that_cannot_be_are_refused(own_design, case):
    imports, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        ComparisonSettings.of(VALUES | {"imports": imports})


def test_another_process_knows_it(own_design, tmp_path):
    import_modules(["decayed_mean"])
    # No module says this name: only what this process hands on.
    register_memory("fading", sys.modules["decayed_mean"].DecayedMeanMemory)
    designs = ["fading", {"name": "slow", "memory": "decayed_mean", "options": {"decay": 0.98}}]
    tiny = TINY | {"lengths": [2], "baselines": [], "designs": designs}
    found = compare(settings(**tiny), tmp_path / "output", workers=1)
    assert not found.failed, found.failed
    assert [each.contender for each in found.scores] == ["fading", "slow"]
    # One layer: a mean of keys and one of values, 16 numbers each, and a counter.
    assert [each.costs["state_bytes"] for each in found.scores] == [2 * 16 * 4 + 8] * 2
