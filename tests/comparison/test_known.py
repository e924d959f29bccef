"""Cells of another comparison are taken over from its table: the same rows, no training, nothing that does not fit."""

import csv

import pytest

from memenc.comparison import compare
from tests.comparison.made_up import made_up, settings
from tests.comparison.test_joint_tasks import TINY

FINISHED = 2 * 4


@pytest.fixture
def published(tmp_path):
    """A finished comparison of which the table alone is left; one contender was not run, one cell failed."""
    folder = tmp_path / "published"
    compare(settings(), folder, work=made_up)
    for file in (folder / "cells").iterdir():
        file.unlink()
    return folder


def nothing(cell, tell):
    raise AssertionError(f"{cell.title} was computed again")


def table(folder):
    return list(csv.DictReader((folder / "results.csv").read_text().splitlines()))


def test_rows_are_those_of_the_table_and_nothing_is_computed(tmp_path, published):
    found = compare(settings(published=[]), tmp_path / "mine", work=nothing, known=[published / "results.csv"])
    assert not found.failed and len(found.records) == 2 * FINISHED
    assert table(tmp_path / "mine") == [row for row in table(published) if row["accuracy"]]
    tables = [(folder / "report.md").read_text().split("## Plots")[0] for folder in (tmp_path / "mine", published)]
    shown = [[line for line in text.splitlines() if line.startswith("| linear")] for text in tables]
    assert shown[0] == shown[1] and shown[0]
    # What was taken over is kept.
    assert not compare(settings(published=[]), tmp_path / "mine", work=nothing).failed


def test_what_is_new_or_was_not_run_is_computed(tmp_path, published):
    computed = []

    def work(cell, tell):
        computed.append(cell.contender.name)
        return made_up(cell, tell)

    designs = ["none", "windowed", "linear", "gated"]
    compare(settings(designs=designs), tmp_path / "mine", work=work, known=[published])
    assert computed == ["gated", "titans-pytorch"] * 2
    computed.clear()
    compare(settings(training={"steps": 7}), tmp_path / "other", work=work, known=[published])
    assert len(computed) == FINISHED + 2


def test_what_one_table_lacks_another_may_have(tmp_path, published):
    compare(settings(published=[]), tmp_path / "empty", finished_only=True)
    tables = [tmp_path / "empty", published]
    found = compare(settings(published=[]), tmp_path / "mine", work=nothing, known=tables)
    assert not found.failed and all(record["accuracy"] for record in found.records)


def test_parts_of_a_joint_task_come_along(tmp_path):
    compare(settings(**TINY), tmp_path / "published")
    assert not compare(settings(**TINY), tmp_path / "mine", work=nothing, known=[tmp_path / "published"]).failed
    assert table(tmp_path / "mine") == table(tmp_path / "published") and len(table(tmp_path / "mine")) == 6
    # Without the row of one part the cell is not whole.
    path = tmp_path / "published" / "results.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith('"both, babi5"')) + "\n")
    ((title, error),) = compare(settings(**TINY), tmp_path / "again", work=nothing, known=[path]).failed
    assert title == "none on both, seed 0" and "was computed again" in error


def test_tables_that_do_not_fit_are_refused(tmp_path, published):
    path = published / "results.csv"
    with pytest.raises(FileNotFoundError, match=r"no table of results .*elsewhere"):
        compare(settings(), tmp_path / "mine", known=[tmp_path / "elsewhere"])
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], rows[1].replace(",0.9,", ",much,"), *rows[2:]]) + "\n")
    with pytest.raises(ValueError, match=r"results.csv, line 2: .*'much'"):
        compare(settings(), tmp_path / "mine", known=[path])
    path.write_text("text,label\n")
    with pytest.raises(ValueError, match=r"is no table of `memenc compare`: it has no column identity, task"):
        compare(settings(), tmp_path / "mine", known=[path])
