import csv
import gzip
import json
import random

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from memenc.data import Record, RecordReader, read_records, sources

UNUSUAL = ["", "two\nlines", "line\u2028separator\x85\x1c", '"quoted", comma', "\x00", "é中😀", "x" * 200_000]


def some_rows():
    rows = [{"id": f"d{number}", "text": text, "label": "odd"} for number, text in enumerate(UNUSUAL)]
    random.shuffle(rows)
    return rows


def write_lines(path, lines):
    data = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_json(path, rows):
    return write_lines(path, [json.dumps(row, ensure_ascii=False) + "\n" for row in rows])


def write_csv(path, rows):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path, rows):
    pandas.DataFrame(rows).to_parquet(path)
    return path


WRITERS = {
    "a.jsonl": write_json,
    "a.jsonl.gz": write_json,
    "a.json": write_json,
    "A.JSONL": write_json,
    "a.csv": write_csv,
    "a.csv.gz": write_csv,
    "a.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_records(tmp_path, name):
    rows = some_rows()
    reader = read_records(WRITERS[name](tmp_path / name, rows))
    for _ in range(2):
        records = list(reader)
        assert [(record.id, record.text, record.label) for record in records] == [
            (row["id"], row["text"], row["label"]) for row in rows
        ]
        assert reader.problems == []


def test_records_are_read_one_at_a_time(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", ['{"text": "a", "label": 1}\n', "broken\n"])
    records = iter(read_records(path))
    assert next(records) == Record("a", 1, None, 1, {})
    with pytest.raises(ValueError, match="line 2"):
        next(records)


def test_other_columns_are_kept(tmp_path):
    path = write_json(tmp_path / "a.jsonl", [{"document": "a", "id": 7, "questions": [1], "label": None}])
    (record,) = read_records(path, text_column="document", label_column=None)
    assert record == Record("a", None, "7", 1, {"questions": [1], "label": None})


def test_blank_lines_and_byte_order_mark_are_passed_over(tmp_path):
    lines = [b'\xef\xbb\xbf{"text": "a", "label": 1}\r\n', "\n", "  \n", '{"text": "b", "label": 2}']
    assert [record.line for record in read_records(write_lines(tmp_path / "a.jsonl", lines))] == [1, 4]
    lines = [b"\xef\xbb\xbftext,label\r\n", "a,1\r\n", "\r\n", '"b\n",2']
    records = list(read_records(write_lines(tmp_path / "a.csv", lines)))
    assert [(record.text, record.label, record.line) for record in records] == [
        ("a", "1", 2),
        ("b\n", "2", 4),
    ]


GOOD = '{"text": "good", "label": "x"}\n'
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
    check_bad_record(path, 3, "broken CSV: unexpected end of data")


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
    texts = [f"{random.random()} " * random.randrange(1, 2_000) for _ in range(90)]
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


def labelled_dataset():
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names, "id": datasets.Value("int32")})
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1], "id": [5, 6, 7]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_saved_dataset_gives_class_names(tmp_path):
    labelled_dataset().save_to_disk(tmp_path / "saved")
    reader = read_records(tmp_path / "saved", on_bad_record="skip")
    assert list(reader) == [Record("a", "yes", "5", 1), Record("b", "no", "6", 2)]
    assert reader.problems == [f"{tmp_path / 'saved'}, line 3: column 'label' is null"]
    with pytest.raises(ValueError, match="split='train'"):
        list(read_records(tmp_path / "saved", split="train"))


def test_a_saved_dataset_with_splits(tmp_path):
    splits = {"train": labelled_dataset(), "test": labelled_dataset().select([1])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    (record,) = read_records(tmp_path / "saved", split="test")
    assert record.text == "b"
    for split in (None, "validation"):
        with pytest.raises(ValueError, match=rf"splits train, test; .* got {split!r}"):
            list(read_records(tmp_path / "saved", split=split))
    datasets.DatasetDict({"only": splits["test"]}).save_to_disk(tmp_path / "one")
    assert len(list(read_records(tmp_path / "one"))) == 1


def test_a_hub_name_goes_to_datasets(monkeypatch):
    asked = []

    def load_dataset(name):
        asked.append(name)
        return datasets.DatasetDict({"train": labelled_dataset().select([0])})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (record,) = read_records("someone/something", split="train")
    assert (record.text, record.label, asked) == ("a", "yes", ["someone/something"])


def test_a_name_that_leads_nowhere(monkeypatch):
    def load_dataset(name):
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match=r"'someone/something' is no file.*offline"):
        list(read_records("someone/something"))


def test_a_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(ValueError, match="no folder saved by datasets"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("source", ["missing.jsonl", "./missing", "../missing", "/missing", "a/b/c"])
def test_a_missing_file_is_refused_at_once(source):
    with pytest.raises(ValueError, match="there is no such file or folder"):
        read_records(source)


def test_other_misuse_is_refused_at_once(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"unknown kind of file; memenc reads \.jsonl"):
        read_records(tmp_path / "a.txt")
    path = write_lines(tmp_path / "a.jsonl", [GOOD])
    with pytest.raises(ValueError, match=r"split='train'.*leave it out"):
        read_records(path, split="train")
    with pytest.raises(ValueError, match="got 'ignore'"):
        RecordReader(path, on_bad_record="ignore")
