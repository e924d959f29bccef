import json

import numpy
import pyarrow.parquet
import pytest
import torch
from transformers import AutoTokenizer

from memenc import MemencForSequenceClassification, MemencModel
from memenc.cli import corpus
from tests.cli.documents import SMALL, reviews


@pytest.fixture
def encode(memenc, tmp_path):
    """Encode into a file and give its path."""

    def run(*arguments, name="vectors.npz", **more):
        memenc("encode", *arguments, "--output", tmp_path / name, "--device", "cpu", **more)
        return tmp_path / name

    return run


def expected_vectors(model, texts):
    encoder = MemencForSequenceClassification.from_pretrained(model).memenc
    return encoder.encode(texts, AutoTokenizer.from_pretrained(model)).numpy()


def test_trained_model_in_every_format(encode, model, lines, monkeypatch):
    monkeypatch.setattr(corpus, "DOCUMENTS_PER_CHUNK", 4)
    rows = [*reviews(5), {"text": ""}]
    path, names = lines(rows), [row["id"] for row in rows[:5]] + ["6"]
    expected = expected_vectors(model, [row["text"] for row in rows])
    arrays = numpy.load(encode("--model", model, "--data", path))
    table = pyarrow.parquet.read_table(encode("--model", model, "--data", path, name="vectors.parquet")).to_pydict()
    found = encode("--model", model, "--data", path, name="vectors.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in found]
    for ids, vectors, empty in [
        (arrays["ids"].tolist(), arrays["vectors"], arrays["empty"].tolist()),
        (table["id"], table["vector"], table["empty"]),
        [[entry[name] for entry in entries] for name in ("id", "vector", "empty")],
    ]:
        assert ids == names and empty == [False] * 5 + [True]
        numpy.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_files_of_plain_text_are_a_document_each_but_one_alone_is_a_stream(encode, model, tmp_path):
    rows = reviews(3)
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.txt").write_text(row["text"])
    expected = expected_vectors(model, [row["text"] for row in rows])
    for source in (tmp_path, f"{tmp_path}/*.txt"):
        with numpy.load(encode("--model", model, "--data", source)) as arrays:
            assert arrays["ids"].tolist() == ["0.txt", "1.txt", "2.txt"]
            numpy.testing.assert_allclose(arrays["vectors"], expected, atol=1e-5)
    encode("--model", model, "--data", f"{tmp_path}/*.txt", name="shards")
    parts = [pyarrow.parquet.read_table(part)["id"].to_pylist() for part in (tmp_path / "shards").glob("*.parquet")]
    assert parts == [["0.txt", "1.txt", "2.txt"]]
    with numpy.load(encode("--model", model, "--data", tmp_path / "1.txt", "--state", tmp_path / "state")) as arrays:
        numpy.testing.assert_allclose(arrays["vectors"], expected[1:2], atol=1e-5)


def test_plain_backbone_gets_a_memory(encode, memenc, backbone, lines, tmp_path):
    path = lines(reviews(3))
    arguments = ["--model", backbone, "--data", path, *SMALL, "--readout", "mean"]
    vectors = numpy.load(encode(*arguments))["vectors"]
    options = {"memory_options": {"window": 8, "slots": 4}, "segment_length": 16, "readout": "mean"}
    torch.manual_seed(0)
    encoder = MemencModel.from_backbone(backbone, "compressive", **options)
    expected = encoder.encode([row["text"] for row in reviews(3)], AutoTokenizer.from_pretrained(backbone))
    numpy.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    assert "untrained" in memenc("encode", *arguments, "--output", tmp_path / "again.npz").err


def test_standard_input_is_one_document(encode, model):
    text = " ".join(row["text"] for row in reviews(40))
    arrays = numpy.load(encode("--model", model, "--data", "-", stdin=text))
    assert arrays["ids"].tolist() == ["-"] and arrays["empty"].tolist() == [False]
    numpy.testing.assert_allclose(arrays["vectors"], expected_vectors(model, [text]), atol=1e-5)


def test_standard_input_without_a_token_is_an_empty_document(encode, model):
    arrays = numpy.load(encode("--model", model, "--data", "-", stdin=" \n"))
    assert arrays["empty"].tolist() == [True]
    numpy.testing.assert_allclose(arrays["vectors"], expected_vectors(model, [""]), atol=1e-5)


def test_one_document_is_gone_on_with(encode, memenc, model, tmp_path):
    text = " ".join(row["text"] for row in reviews(40))
    path, state = tmp_path / "all.log", tmp_path / "all.state"
    path.write_text(text[: len(text) // 2])
    arguments = ["--model", model, "--data", path, "--state", state, "--save-every", "100"]
    encode(*arguments)
    path.write_text(text)
    arrays = numpy.load(encode(*arguments))
    assert arrays["ids"].tolist() == [str(path)]
    numpy.testing.assert_allclose(arrays["vectors"], expected_vectors(model, [text]), atol=1e-5)
    path.write_text(text[1:])
    said = memenc("encode", *arguments, "--output", tmp_path / "vectors.npz", "--device", "cpu", code=1).err
    assert "give it the same document" in said


def test_no_documents_give_no_vectors(encode, model, lines):
    with numpy.load(encode("--model", model, "--data", lines([]))) as arrays:
        vectors, empty = arrays["vectors"], arrays["empty"]
    assert vectors.shape == (0, 32) and empty.shape == (0,) and empty.dtype == bool


def test_shards(memenc, model, lines, tmp_path):
    rows = [*reviews(9), "no json"]
    path, folder = lines(rows), tmp_path / "vectors"
    arguments = ["encode", "--model", model, "--data", path, "--device", "cpu", "--output", folder]
    arguments += ["--num-shards", "2", "--documents-per-part", "2", "--on-bad-record", "skip"]
    assert "1 of 2 shards finished; 1 not begun" in memenc(*arguments, "--shard", "1").err
    said = memenc(*arguments, "--shard", "0").err
    assert "2 of 2 shards finished" in said and "left out: line 10" in said
    table = pyarrow.concat_tables(map(pyarrow.parquet.read_table, sorted(folder.glob("*.parquet"))))
    found = dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    expected = expected_vectors(model, [row["text"] for row in rows[:9]])
    numpy.testing.assert_allclose([found[row["id"]] for row in rows[:9]], expected, atol=1e-5)


def test_user_errors(memenc, model, lines, tmp_path):
    path = lines(reviews(2))
    arguments = ["encode", "--data", path, "--device", "cpu", "--model"]
    assert "must end in .npz, .parquet" in memenc(*arguments, model, "--output", "vectors.txt", code=1).err
    said = memenc(*arguments, model, "--output", "vectors.npz", "--num-shards", "2", code=1).err
    assert "shards are written to a folder" in said
    said = memenc(*arguments, model, "--output", "vectors", "--shard", "2", code=1).err
    assert "shards are numbered from 0" in said
    said = memenc("encode", "--model", model, "--data", "-", "--output", "vectors", code=1).err
    assert "is one document, which has no shards" in said
    said = memenc(*arguments, model, "--output", "vectors.npz", "--state", "all.state", code=1).err
    assert "--state is for one document" in said
    said = memenc(*arguments, model, "--output", tmp_path / "vectors.npz", "--memory", "windowed", code=1).err
    assert "a memory of its own" in said
    said = memenc(*arguments, tmp_path / "none", "--output", tmp_path / "vectors.npz", code=1).err
    assert said.startswith("error: ") and said.count("\n") == 1
