import csv
import json
import random

import numpy
import pytest
import torch

from memenc.storage.results import append_rows, environment, write_results


def test_files_hold_plain_values(tmp_path):
    records = [{"name": "a", "score": numpy.float32(0.5)}, {"name": "b", "rows": [1, 2], "loss": float("nan")}]
    write_results(tmp_path / "new" / "results.v1", records, seed=3, path=tmp_path, tensor=torch.ones(2))
    found = json.loads((tmp_path / "new" / "results.v1.json").read_text())
    assert found["records"] == [{"name": "a", "score": 0.5}, {"name": "b", "rows": [1, 2], "loss": None}]
    assert (found["seed"], found["path"], found["tensor"]) == (3, str(tmp_path), [1.0, 1.0])
    with (tmp_path / "new" / "results.v1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"name": "a", "score": "0.5", "rows": "", "loss": ""}
    assert rows[1]["rows"] == "[1, 2]"
    assert not list(tmp_path.rglob("*.tmp"))


def test_environment_is_json():
    found = json.loads(json.dumps(environment()))
    assert found["versions"]["memenc"] == "0.1.0" and found["versions"]["torch"] == torch.__version__
    assert found["hardware"]["cpu"] and found["date"].endswith("+00:00")


def test_rows_keep_their_columns_when_later_ones_have_more(tmp_path):
    path = tmp_path / "new" / "table.csv"
    append_rows(path, [{"a": 1, "b": "x,y"}])
    append_rows(path, [{"b": 2, "a": 3}])
    append_rows(path, [{"c": 4, "a": 5}, {"a": 6, "d": 7}])
    append_rows(path, [{"d": 8}])
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"a": "1", "b": "x,y", "c": "", "d": ""},
            {"a": "3", "b": "2", "c": "", "d": ""},
            {"a": "5", "b": "", "c": "4", "d": ""},
            {"a": "6", "b": "", "c": "", "d": "7"},
            {"a": "", "b": "", "c": "", "d": "8"},
        ]


def test_a_line_that_was_cut_is_no_row(tmp_path):
    for more, columns in (({}, "a,b"), ({"c": 8}, "a,b,c")):
        path = tmp_path / f"{columns}.csv"
        append_rows(path, [{"a": 1, "b": 2}, {"a": 3, "b": 45}])
        path.write_bytes(path.read_bytes()[: -random.choice([4, 5])])
        with pytest.warns(UserWarning, match="the last line is not complete"):
            append_rows(path, [{"a": 6, "b": 7, **more}])
        assert path.read_text().split() == [columns, *(["1,2", "6,7"] if not more else ["1,2,", "6,7,8"])]


def test_a_line_without_an_end_is_a_row(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4")
    append_rows(path, [{"a": 5, "b": 6}])
    assert path.read_text().split() == ["a,b", "1,2", "3,4", "5,6"]
