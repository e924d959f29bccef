"""Running: finished cells are kept, failing ones are named, files are whole, processes may die."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memenc.comparison import compare
from memenc.comparison.cells import cells_of
from memenc.comparison.store import CellStore, Outcome
from tests.comparison.made_up import made_up, settings
from tests.tiny import save_tiny_backbone

CELLS = 2 * 5


@pytest.fixture
def counted():
    """A work function that counts its calls, and stops like a person would after so many."""

    class Counted:
        calls, stop_after = 0, None

        def __call__(self, cell, tell):
            if self.calls == self.stop_after:
                raise KeyboardInterrupt
            self.calls += 1
            return made_up(cell, tell)

    return Counted()


def test_everything_is_written(tmp_path):
    shares = {}
    found = compare(
        settings(), tmp_path, watch=lambda cell, share: shares.setdefault(cell.title, []).append(share), work=made_up
    )
    assert not found.failed and len(found.records) == 2 * CELLS
    assert shares["linear on memorize, 2,100 bytes, seed 1"] == [0.5, 1.0]
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert len(rows) == 2 * CELLS and {row["cpu"] for row in rows if row["accuracy"]} == {"a box"}
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["settings"]["budgets"] == [2100] and content["recommendation"] and content["rules"]
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "0.90 ± 0.02" in text and "not run" in text and "not installed: pip install it" in text
    assert "data:image/png;base64," in text and "http" not in text.replace("http-equiv", "")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "accuracy_memorize_2100.png",
        "bytes_memorize.png",
        "cost.png",
    ]


def test_the_report_says_which_encoder_it_was(tmp_path):
    backbone = save_tiny_backbone(tmp_path / "backbone")
    for encoder, words in (({}, "small encoders from scratch"), ({"backbone": backbone}, f"{backbone}, pre-trained")):
        compare(settings(encoder=encoder), tmp_path / "out", work=made_up)
        for name in ("report.md", "report.html"):
            assert f"All contenders are {words}" in (tmp_path / "out" / name).read_text()


def test_finished_cells_are_kept_and_the_rest_is_computed(tmp_path, counted):
    counted.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        compare(settings(), tmp_path, work=counted)
    assert len(list((tmp_path / "cells").iterdir())) == 4
    # What is finished is reported, and nothing is computed for it.
    report = (tmp_path / "report.md").read_text()
    assert "not finished yet" in report and "0.90" in report
    assert len(compare(settings(), tmp_path, work=counted, finished_only=True).records) == 2 * CELLS
    assert counted.calls == 4
    counted.stop_after = None
    compare(settings(), tmp_path, work=counted)
    # Two of the ten are not installed, and asked for again each time.
    assert counted.calls == CELLS
    compare(settings(), tmp_path, work=counted)
    assert counted.calls == CELLS + 2
    compare(settings(training={"steps": 5}), tmp_path, work=counted)
    assert counted.calls == 2 * CELLS + 2


def test_tables_say_how_many_seeds_there_are_and_old_plots_go(tmp_path):
    compare(settings(published=[]), tmp_path, work=made_up)
    (tmp_path / "plots" / "mine.png").write_bytes(b"")
    assert "|  | seeds | 2 segments" in (tmp_path / "report.md").read_text()
    assert "| linear | 2 | 0.9" in (tmp_path / "report.md").read_text()
    compare(settings(published=[], budgets=[2200]), tmp_path, work=made_up)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"accuracy_memorize_2200.png", "bytes_memorize.png", "cost.png", "mine.png"}


def test_another_threshold_needs_no_training(tmp_path, counted):
    compare(settings(published=[]), tmp_path, work=counted)
    before = counted.calls
    compare(settings(published=[], testing={"threshold": 0.95}), tmp_path, work=counted)
    assert counted.calls == before


def test_a_failing_cell_is_named_and_tried_again(tmp_path, monkeypatch, counted):
    monkeypatch.setenv("FAILING", "windowed")
    found = compare(settings(), tmp_path, work=counted)
    assert [title for title, _ in found.failed] == [
        f"windowed on memorize, 2,100 bytes, seed {seed}" for seed in (0, 1)
    ]
    assert found.failed[0][1] == "RuntimeError: out of luck"
    assert "failed: RuntimeError: out of luck" in (tmp_path / "report.html").read_text()
    monkeypatch.delenv("FAILING")
    assert not compare(settings(), tmp_path, work=counted).failed


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    store, cell = CellStore(tmp_path), cells_of(settings())[0]
    store.keep(cell, Outcome("done", {"rows": []}))
    path = store.path(cell)
    assert store.finished(cell) == Outcome("done", {"rows": []})
    path.write_text(path.read_text()[:-9])
    assert store.finished(cell) is None
    path.write_text(json.dumps({"status": "done", "identity": "another", "facts": {}}))
    assert store.finished(cell) is None
    for damage in ("[]", json.dumps({"status": "done", "identity": cell.identity})):
        path.write_text(damage)
        assert store.finished(cell) is None
    store.keep(cell, Outcome("done", {"rows": [{"accuracy": 0.125}]}))
    path.write_text(path.read_text().replace("0.125", "0.925"))
    assert store.finished(cell) is None
    path.write_text(json.dumps({"status": "done", "identity": "another", "facts": {}}))
    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.keep(cell, Outcome("done", {"rows": [1]}))
    assert json.loads(path.read_text())["identity"] == "another"


def killed(*arguments):
    raise KeyboardInterrupt


def test_a_process_that_dies_takes_nothing_along_but_its_cell(tmp_path, monkeypatch):
    monkeypatch.setenv("DYING", "windowed")
    few = settings(designs=["windowed", "linear"], baselines=[], published=[], seeds=[0], lengths=[2])
    found = compare(few, tmp_path, workers=1, work=made_up)
    ((title, error),) = found.failed
    assert title == "windowed on memorize, 2,100 bytes, seed 0" and "exit code 9" in error
    assert [record["contender"] for record in found.records if record.get("accuracy")] == ["linear"]


def test_a_comparison_is_shown_in_a_line(tmp_path):
    found = compare(settings(), tmp_path, work=made_up)
    assert repr(found) == "Comparison(20 records, 10 scores, 4 statements, 0 failed)"


COMPARISON = """
import sys
from pathlib import Path
from memenc.comparison import compare
from tests.comparison.made_up import made_up, settings
if __name__ == "__main__":
    compare(settings(designs=["linear"], baselines=[], published=[]), Path(sys.argv[1]), workers=1, work=made_up)
"""


def test_no_process_is_left_when_the_comparison_is_killed(tmp_path):
    program, place = tmp_path / "compare.py", tmp_path / "worker"
    program.write_text(COMPARISON)
    environment = os.environ | {"STAYING": "linear", "PLACE": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    comparison = subprocess.Popen([sys.executable, program, tmp_path / "output"], env=environment)
    try:
        wait_until(lambda: place.exists() and place.read_text())
        worker = int(place.read_text())
        assert is_alive(worker)
    finally:
        comparison.kill()
        comparison.wait()
    wait_until(lambda: not is_alive(worker))


def wait_until(true):
    for _ in range(1200):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen in two minutes")


def is_alive(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A process that nobody waits for stays in the table as a zombie.
    return status.rpartition(")")[2].split()[0] != "Z"
