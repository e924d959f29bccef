"""Tables of comparisons in the README and in the report are those of the results, and are made as they say."""

import csv

import pytest

from benchmarks import report_tables
from benchmarks.report_tables import MARKED, TEXTS, renewed, table_of


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_published_tables_are_those_of_the_results(path):
    text = path.read_text()
    tables = [found["table"] for found in MARKED.finditer(text)]
    assert tables and all(table.count("\n") >= 3 for table in tables)
    assert renewed(text) == text


@pytest.fixture
def results(monkeypatch, tmp_path):
    rows = []
    for seed, right in ((0, (100, 50, 96)), (1, (100, 98, 97))):
        for segments, number in zip((2, 3, 5), right, strict=True):
            row = {"task": "remember", "contender": "linear", "kind": "memory", "budget": "9", "seed": seed}
            row |= {"segments": segments, "tokens": 9, "documents": 100, "right": number, "accuracy": number / 100}
            rows.append(row | {"chance": 0.1, "not_run": ""})
    (tmp_path / "made").mkdir()
    with (tmp_path / "made" / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setattr(report_tables, "RESULTS", tmp_path)


def test_a_table_says_mean_error_seeds_and_the_lengths_below_which_nothing_is_lost(results):
    head, _, row = table_of("made remember 2 3 5").splitlines()
    assert head == "|  | seeds | remember, pairs: 1 | 2 | 4 | holds 0.95 up to |"
    # Of 0.50 and 0.98; the first seed loses two pairs, though it has four again.
    assert row == "| `linear` | 2 | 1.00 ± 0.00 | 0.74 ± 0.24 | 0.96 ± 0.01 | 1 to more than 4 |"


def test_a_changed_number_is_renewed_and_everything_else_stays(results):
    text = f"before\n\n<!-- table: made remember 3 -->\n\n{table_of('made remember 3')}\nafter | 0.74 |\n"
    assert renewed(text) == text and renewed(text.replace("0.74 ±", "0.75 ±")) == text


def test_columns_of_several_tasks_stand_side_by_side(results):
    head, _, row = table_of("made remember 3, made remember 2 7").splitlines()
    assert head.count("remember") == 2 and row == "| `linear` | 0.74 ± 0.24 | 1.00 ± 0.00 | - |"
