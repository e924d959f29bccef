import datasets
import pytest

from memenc.data import Record, RecordReader, read_records
from tests.data.record_files import GOOD, write_lines


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
