"""Tables with other delimiters, files of plain text, and standard input."""

import io
import sys

import pytest

from memenc.data import Record, read_records
from tests.data.record_files import GOOD, some_rows, write_csv, write_json, write_lines


@pytest.mark.parametrize(("delimiter", "given"), [(";", ";"), ("|", "|"), ("\t", "\t"), ("\t", "tab"), ("\t", r"\t")])
def test_the_delimiter_that_is_given_is_taken(tmp_path, delimiter, given):
    rows = some_rows()
    reader = read_records(write_csv(tmp_path / "a.csv", rows, delimiter), delimiter=given)
    assert [(record.id, record.text) for record in reader] == [(row["id"], row["text"]) for row in rows]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_delimiter_that_seems_to_be_another_is_asked_for(tmp_path, delimiter):
    path = write_csv(tmp_path / "a.csv", [{"text": "a", "label": "x"}], delimiter)
    with pytest.raises(ValueError, match=r"line 1: there is one column, .*; is the delimiter '(;|\\t)'\?.*--delimiter"):
        list(read_records(path))
    # Somebody may mean it.
    (record,) = read_records(path, text_column=f"text{delimiter}label", label_column=None, delimiter=",")
    assert record.text == f"a{delimiter}x"


@pytest.mark.parametrize(
    ("name", "delimiter", "message"),
    [
        ("a.csv", ";;", r"delimiter=';;': give one character, such as ';', or tab"),
        ("a.csv", "", r"delimiter='': give one character"),
        ("a.jsonl", ";", r"delimiter=';' is for .csv and .tsv; leave it out"),
    ],
)
def test_what_is_no_delimiter_is_refused(tmp_path, name, delimiter, message):
    with pytest.raises(ValueError, match=message):
        read_records(write_lines(tmp_path / name, [GOOD]), delimiter=delimiter)


def test_files_of_plain_text_are_a_document_each(tmp_path):
    texts = {"b.txt": "one\ntwo, three\n", "a.TXT": "", "c.txt": "\ufeffé"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "notes.md").write_text("no document")
    (record,) = read_records(tmp_path / "b.txt", label_column=None)
    assert record == Record("one\ntwo, three\n", None, "b.txt", 1)
    wanted = [Record("one\ntwo, three\n", None, "b.txt", 1), Record("é", None, "c.txt", 2)]
    for pattern in ("*.txt", "[bc].txt"):
        reader = read_records(f"{tmp_path}/{pattern}", label_column=None)
        for _ in range(2):
            assert list(reader) == wanted and reader.share_read == 1.0
    assert [record.id for record in read_records(tmp_path, label_column=None)] == ["a.TXT", "b.txt", "c.txt"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_text("deep")
    found = [(record.id, record.text) for record in read_records(f"{tmp_path}/**/b.txt", label_column=None)]
    assert sorted(found) == [("b.txt", "one\ntwo, three\n"), ("in/b.txt", "deep")]


def test_plain_text_has_no_labels_no_splits_and_must_be_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good \xff")
    (tmp_path / "b.txt").write_text("good")
    with pytest.raises(ValueError, match="column 'label' is missing; the columns there are: 'text', 'id'"):
        list(read_records(tmp_path / "b.txt"))
    with pytest.raises(ValueError, match="split='train' chooses within a dataset"):
        read_records(tmp_path, split="train")
    reader = read_records(tmp_path, label_column=None, on_bad_record="skip")
    assert [record.id for record in reader] == ["b.txt"]
    assert reader.problems == [f"{tmp_path}, line 1: a.txt: invalid UTF-8: byte 0xff at byte 6"]
    with pytest.raises(ValueError, match="there is no such file or folder"):
        read_records(f"{tmp_path}/*.none.txt")


def test_standard_input_is_json_lines(tmp_path, monkeypatch):
    rows = some_rows()
    path = write_json(tmp_path / "a.jsonl", rows)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes()), "utf-8"))
    found = list(read_records("-"))
    assert [(record.id, record.text, record.line) for record in found] == [
        (row["id"], row["text"], line) for line, row in enumerate(rows, start=1)
    ]
