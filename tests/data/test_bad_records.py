import csv
import gzip
import json
import random

import pyarrow
import pyarrow.parquet
import pytest

from memenc.data import read_records, sources
from memenc.data.labels import LabelledDocuments
from tests.data.record_files import GOOD, some_rows, write_csv, write_lines, write_parquet

BAD_JSON = {
    "invalid UTF-8": (b'{"text": "\xff", "label": "x"}\n', "invalid UTF-8: byte 0xff at byte 11"),
    "broken": ('{"text": "a", "label"\n', "broken JSON: Expecting"),
    "array": ('[{"text": "a"},\n', "one object per line"),
    "deep": ("[" * 100_000 + "\n", "broken JSON"),
    "number": ("5\n", "expected a JSON object with one column per key, found int"),
    "no text": (
        '{"body": "a", "label": "x"}\n',
        "column 'text' is missing; the columns there are: 'body', 'label'",
    ),
    "no columns": ("{}\n", "the columns there are: none"),
    "no label": (
        '{"text": "a", "id": 1}\n',
        "column 'label' is missing; the columns there are: 'text', 'id'",
    ),
    "null text": ('{"text": null, "label": "x"}\n', "column 'text' is null"),
    "null label": ('{"text": "a", "label": null}\n', "column 'label' is null"),
    "number as text": ('{"text": 12.5, "label": "x"}\n', "column 'text' must be text, found float '12.5'"),
    "list as text": ('{"text": ["a"], "label": "x"}\n', "column 'text' must be text, found list"),
    "surrogate": ('{"\\ud83d": "a"}\n', r"the columns there are: '\\ud83d'".replace("\\\\", "\\")),
}


def check_bad_record(path, line, message):
    with pytest.raises(ValueError) as raised:
        list(read_records(path))
    assert f"{path}, line {line}: " in str(raised.value)
    assert message in str(raised.value)
    assert "on_bad_record='skip'" in str(raised.value)
    str(raised.value).encode()
    reader = read_records(path, on_bad_record="skip")
    assert {record.text for record in reader} == {"good"}
    (problem,) = reader.problems
    assert problem.startswith(f"{path}, line {line}: ")
    assert message in problem


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_records_are_named_or_skipped(tmp_path, name, case):
    bad, message = BAD_JSON[case]
    before, after = random.randint(0, 5), random.randint(1, 5)
    path = write_lines(tmp_path / name, [GOOD] * before + [bad] + [GOOD] * after)
    check_bad_record(path, before + 1, message)


BAD_CSV = {
    "invalid UTF-8": (b"g\xfcte,x\n", "invalid UTF-8: byte 0xfc in column 'text'"),
    "too few fields": ("a\n", "expected 2 fields as in the first line, found 1"),
    "too many fields": ("a,b,c\n", "expected 2 fields as in the first line, found 3"),
    "stray quote": ('"a"b,c\n', "broken CSV"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_records_are_named_or_skipped(tmp_path, case):
    bad, message = BAD_CSV[case]
    before, after = random.randint(0, 5), random.randint(1, 5)
    path = write_lines(tmp_path / "a.csv", ["text,label\n", *["good,x\n"] * before, bad, *["good,x\n"] * after])
    check_bad_record(path, before + 2, message)


def test_an_open_quote_is_named_where_it_starts(tmp_path):
    path = write_lines(tmp_path / "a.csv", ["text,label\n", "good,x\n", '"open,x\n', "good,x\n", "good,x\n"])
    check_bad_record(path, 3, "broken CSV: unexpected end of data; the record that starts here swallowed lines 3 to 5")


def test_a_quote_that_is_closed_too_late_says_what_it_swallowed(tmp_path):
    path = write_lines(tmp_path / "a.csv", ["text,label\n", '"open,x\n', "lost,x\n", '"quoted",x\n', "good,x\n"])
    records = read_records(path, on_bad_record="skip")
    assert [record.text for record in records] == ["good"]
    assert "line 2: broken CSV" in records.problems[0] and "swallowed lines 2 to 4" in records.problems[0]


@pytest.mark.parametrize(
    ("name", "line"), [("a.csv", "good,\n"), ("a.csv", "good, \n"), ("a.jsonl", '{"text": "good", "label": ""}\n')]
)
def test_an_empty_label_is_missing(tmp_path, name, line):
    head, good = ("text,label\n", "good,x\n") if name == "a.csv" else ("", '{"text": "good", "label": "x"}\n')
    path = write_lines(tmp_path / name, [head, good, line, good] if head else [good, line, good])
    with pytest.raises(ValueError, match=f"line {3 if head else 2}: the label is empty"):
        list(read_records(path, understanding=LabelledDocuments))
    kept = read_records(path, understanding=LabelledDocuments, on_bad_record="skip")
    assert [record.label for record in kept] == ["x", "x"] and len(kept.problems) == 1


@pytest.mark.parametrize(
    ("first_line", "message"),
    [
        ("", "no columns"),
        ("\n", "no columns"),
        (b"t\xffxt,label\n", "invalid UTF-8"),
        ("text,text\n", "not all different"),
    ],
)
def test_a_csv_without_usable_columns(tmp_path, first_line, message):
    path = write_lines(tmp_path / "a.csv", [first_line, "a,b\n"] if first_line else [])
    for on_bad_record in ("error", "skip"):
        with pytest.raises(ValueError, match=f"line 1: .*{message}"):
            list(read_records(path, on_bad_record=on_bad_record))


def test_csv_leaves_its_global_limit_alone(tmp_path):
    limit = csv.field_size_limit()
    records = iter(read_records(write_csv(tmp_path / "a.csv", some_rows())))
    next(records)
    assert csv.field_size_limit() == limit
    list(records)
    assert csv.field_size_limit() == limit


def test_bad_parquet_records_are_named_or_skipped(tmp_path):
    texts = ["good"] * 40
    row = random.randrange(40)
    texts[row] = None
    path = write_parquet(tmp_path / "a.parquet", {"text": texts, "label": ["x"] * 40})
    check_bad_record(path, row + 1, "column 'text' is null")


def test_large_parquet_rows_are_decoded_few_at_a_time(tmp_path, monkeypatch):
    texts = [f"{random.random():.15f} " * random.randrange(900, 1_100) for _ in range(90)]  # any ten alike in bytes
    ids = pyarrow.array(map(str, range(90)), pyarrow.large_string())
    table = pyarrow.table({"id": ids, "text": pyarrow.array(texts, pyarrow.large_string())})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=40, use_dictionary=False)
    bytes_each = sum(map(len, texts)) / 90
    monkeypatch.setattr(sources, "PARQUET_BYTES", int(3.5 * bytes_each))
    batches = list(sources.parquet_batches(pyarrow.parquet.ParquetFile(tmp_path / "a.parquet")))
    assert sum(batch.num_rows for batch in batches) == 90 and max(batch.num_rows for batch in batches) <= 5
    found = list(read_records(tmp_path / "a.parquet", label_column=None))
    assert [(record.id, record.text) for record in found] == list(zip(map(str, range(90)), texts, strict=True))


def test_invalid_utf8_in_parquet(tmp_path):
    texts = pyarrow.array([b"good"] * 20 + [b"\xff"] + [b"good"]).view(pyarrow.string())
    table = pyarrow.table({"text": texts, "label": pyarrow.array([1] * 22)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    check_bad_record(tmp_path / "a.parquet", 21, "invalid UTF-8")


def test_a_damaged_file_is_refused_even_when_skipping(tmp_path):
    whole = gzip.compress("".join(json.dumps({"text": str(n), "label": 1}) + "\n" for n in range(5000)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.jsonl.gz").write_bytes(b"plain")
    (tmp_path / "c.parquet").write_bytes(b"plain")
    for name, message in [
        ("a.jsonl.gz", "damaged gzip"),
        ("b.jsonl.gz", "damaged gzip"),
        ("c.parquet", "Parquet"),
    ]:
        with pytest.raises(ValueError, match=message):
            list(read_records(tmp_path / name, on_bad_record="skip"))


def test_skipping_every_record_is_an_error(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", ['{"body": "a"}\n'] * 3)
    with pytest.raises(ValueError, match=r"not one of 3 records can be used.*line 1.*'body'"):
        list(read_records(path, on_bad_record="skip"))
    assert list(read_records(write_lines(tmp_path / "empty.jsonl", []))) == []


def test_a_new_loop_starts_with_no_problems(tmp_path):
    reader = read_records(write_lines(tmp_path / "a.jsonl", ["5\n", GOOD]), on_bad_record="skip")
    for _ in range(2):
        assert len(list(reader)) == 1
        assert len(reader.problems) == 1


def test_a_quote_that_is_closed_in_another_record_says_what_it_swallowed(tmp_path):
    rows = ["text,label\n", '"opens,neg\n', "lost one,pos\n", "lost two,neg\n", 'ends here",pos,extra\n', "good,x\n"]
    records = read_records(write_lines(tmp_path / "a.csv", rows), on_bad_record="skip")
    assert [record.text for record in records] == ["good"]
    assert "expected 2 fields" in records.problems[0] and "swallowed lines 2 to 5" in records.problems[0]


def test_a_date_that_python_does_not_have_hurts_nobody_who_does_not_ask_for_it(tmp_path):
    until = pyarrow.array([253402300799999999, 0], pyarrow.timestamp("us", tz="Asia/Tokyo"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["one", "two"], "until": until}), tmp_path / "a.parquet")
    assert [record.text for record in read_records(tmp_path / "a.parquet", label_column=None)] == ["one", "two"]
    with pytest.raises(ValueError, match="line 1: column 'until' must be text, found Unreadable"):
        list(read_records(tmp_path / "a.parquet", text_column="until", label_column=None))
