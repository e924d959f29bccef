"""Tables of benchmarks: finished rows stay, missing ones are measured, whatever way their numbers are written."""

import csv

from benchmarks.documents.rows import cells, fill


def test_only_what_is_missing_is_measured(tmp_path):
    measured = []

    def measure(cell):
        measured.append((cell["seed"], cell["model"]))
        return [cell | {"score": 1}, cell | {"score": 2}]

    path, fixed = tmp_path / "table.csv", {"epochs": 4, "bf16": False}
    fill(path, cells({"seed": "0", "model": "a,b"}, fixed), measure)
    assert measured == [("0", "a"), ("0", "b")]
    fill(path, cells({"seed": "0,1", "model": "a,b"}, fixed | {"epochs": 4.0}), measure)
    assert measured[2:] == [("1", "a"), ("1", "b")]
    fill(path, cells({"seed": "1", "model": "a"}, fixed | {"bf16": True}), measure)
    assert measured[4:] == [("1", "a")]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == ["1", "2"] * 5
    assert all(row["commit"] and row["torch"] for row in rows)


def test_a_stopped_benchmark_keeps_its_rows(tmp_path):
    def measure(cell):
        if cell["model"] == "b":
            raise KeyboardInterrupt
        return [cell]

    path = tmp_path / "table.csv"
    try:
        fill(path, cells({"model": "a,b"}, {}), measure)
    except KeyboardInterrupt:
        assert len(path.read_text().splitlines()) == 2
    else:
        raise AssertionError("was not stopped")
