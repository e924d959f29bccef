import random

import pytest

from memenc.data import Record, RecordReader, read_records
from memenc.data.sources import Reach
from tests.data.record_files import GOOD, WRITERS, some_rows, write_lines

datasets = pytest.importorskip("datasets")


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


@pytest.mark.parametrize("name", WRITERS)
def test_how_much_of_a_file_was_read_is_known_but_of_a_packed_one(tmp_path, name):
    rows = some_rows()
    reader = read_records(WRITERS[name](tmp_path / name, rows), label_column=None)
    assert reader.share_read is None
    for _ in range(2):
        shares = [reader.share_read for _ in reader]
        if name.endswith(".gz"):
            assert shares == [None] * len(rows)
        elif name.endswith(".parquet"):
            assert shares == [(place + 1) / len(rows) for place in range(len(rows))]
        else:
            assert len(set(shares)) == len(rows) and shares == sorted(shares) and shares[-1] == 1.0
            # Nearly all is in the one long text.
            longest = max(range(len(rows)), key=lambda place: len(rows[place]["text"]))
            assert [share > 0.99 for share in shares] == [place >= longest for place in range(len(rows))]


def test_how_much_of_a_saved_dataset_was_read_is_known(tmp_path):
    labelled_dataset().save_to_disk(tmp_path / "saved")
    reader = read_records(tmp_path / "saved", label_column=None)
    assert [reader.share_read for _ in reader] == [1 / 3, 2 / 3, 1.0]
    # The second is a bad one, and read all the same.
    path = write_lines(tmp_path / "a.jsonl", [GOOD, "{]\n".rjust(len(GOOD)), GOOD, GOOD])
    reader = read_records(path, on_bad_record="skip")
    assert [reader.share_read for _ in reader] == [0.25, 0.75, 1.0]


def test_a_share_is_never_more_than_all():
    done = random.randrange(1, 100)
    assert Reach(done, done).share == 1.0 and Reach(done + 1, done).share == 1.0
    assert Reach(done, 2 * done).share == 0.5
    assert Reach(done, 0).share is None and Reach(done).share is None


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
    (tmp_path / "a.doc").write_text("a")
    with pytest.raises(ValueError, match=r"unknown kind of file; memenc reads \.jsonl.*, \.txt$"):
        read_records(tmp_path / "a.doc")
    path = write_lines(tmp_path / "a.jsonl", [GOOD])
    with pytest.raises(ValueError, match=r"split='train'.*leave it out"):
        read_records(path, split="train")
    with pytest.raises(ValueError, match="got 'ignore'"):
        RecordReader(path, on_bad_record="ignore")


def test_formats_and_lists_of_classes_are_rows_like_any_others(tmp_path):
    classes = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": classes, "tags": datasets.Sequence(classes)}
    )
    rows = {"text": ["a", "b"], "label": [1, 0], "tags": [[0, 1], []]}
    made = datasets.Dataset.from_dict(rows, features=features).with_format("torch", columns=["label"])
    made.save_to_disk(tmp_path / "data")
    found = list(read_records(tmp_path / "data"))
    assert [(record.text, record.label, record.rest["tags"]) for record in found] == [
        ("a", "yes", ["no", "yes"]),
        ("b", "no", []),
    ]
