import pytest

from memenc.data import Record, read_records
from tests.data.record_files import WRITERS, some_rows, write_json, write_lines


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
