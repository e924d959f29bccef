import csv
import io
import json
import shutil

import numpy
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from memenc import LongDocumentClassifier
from memenc.cli import corpus
from memenc.cli.main import app
from memenc.cli.predict import utf8
from tests.cli.documents import reviews


def test_predict_writes_one_line_per_document(memenc, model, lines, tmp_path):
    rows = [*reviews(10, seed=3), {"text": "", "label": "good"}]
    output = tmp_path / "new" / "predictions.jsonl"
    memenc("predict", "--model", model, "--data", lines(rows), "--output", output)
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [entry["line"] for entry in found] == list(range(1, 12))
    assert [entry["id"] for entry in found] == [row["id"] for row in rows[:10]] + [None]
    assert [entry["empty"] for entry in found] == [False] * 10 + [True]
    assert found[-1]["tokens_seen"] == 0
    assert found[0]["tokens_seen"] == len(rows[0]["text"].split())
    expected = LongDocumentClassifier.from_pretrained(model)
    texts = [row["text"] for row in rows]
    with pytest.warns(UserWarning, match="1 of 11 documents have no tokens"):
        labels, shares = expected.predict(texts), expected.predict_proba(texts)
    assert [entry["label"] for entry in found] == list(labels)
    probabilities = [[entry["probabilities"][name] for name in ("bad", "good")] for entry in found]
    numpy.testing.assert_allclose(probabilities, shares, atol=1e-5)
    assert not list(tmp_path.rglob("*.partial"))


def test_predict_in_chunks_is_the_same(memenc, model, lines, monkeypatch):
    path = lines(reviews(9, seed=4))
    whole = memenc("predict", "--model", model, "--data", path).lines
    monkeypatch.setattr(corpus, "DOCUMENTS_PER_CHUNK", 2)
    parts = memenc("predict", "--model", model, "--data", path).lines
    assert [entry["label"] for entry in parts] == [entry["label"] for entry in whole]
    assert [entry["line"] for entry in parts] == [entry["line"] for entry in whole]


def test_predict_needs_no_labels(memenc, model, lines):
    assert len(memenc("predict", "--model", model, "--data", lines([{"text": "a film"}])).lines) == 1


def test_predict_several_labels_and_quantities(memenc, several, regression, lines):
    path = lines(reviews(3))
    for entry in memenc("predict", "--model", several, "--data", path).lines:
        assert entry["label"] == [name for name, share in entry["probabilities"].items() if share > 0.5]
        assert list(entry["probabilities"]) == ["bad", "good", "report"]
    for entry in memenc("predict", "--model", regression, "--data", path).lines:
        assert isinstance(entry["label"], float) and entry["probabilities"] is None


def test_predict_skips_bad_lines_and_names_them(memenc, model, lines):
    path = lines(["{]", *reviews(2), '{"body": "a"}'])
    assert f"{path}, line 1: broken JSON" in memenc("predict", "--model", model, "--data", path, code=1).err
    done = memenc("predict", "--model", model, "--data", path, "--on-bad-record", "skip")
    assert [entry["line"] for entry in done.lines] == [2, 3]
    assert "line 1: broken JSON" in done.err and "line 4: column 'text' is missing" in done.err


def test_predictions_have_their_name_only_when_complete(memenc, model, lines, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "DOCUMENTS_PER_CHUNK", 2)
    output = tmp_path / "predictions.jsonl"
    path = lines([*reviews(3), "{]"])
    memenc("predict", "--model", model, "--data", path, "--output", output, code=1)
    assert not output.exists()
    assert len((tmp_path / "predictions.jsonl.partial").read_text().splitlines()) == 2


def test_predictions_are_a_table_where_the_name_says_so(memenc, model, several, lines, tmp_path):
    data = lines([*reviews(3, seed=4), {"text": ""}])
    for folder, name, delimiter in ((model, "out.csv", ","), (several, "out.tsv", "\t")):
        wanted = memenc("predict", "--model", folder, "--data", data).lines
        memenc("predict", "--model", folder, "--data", data, "--output", tmp_path / name)
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file, delimiter=delimiter))
        assert len(found) == 4
        for row, line in zip(found, wanted, strict=True):
            shares = {key: float(value) for key, value in row.items() if key.startswith("probabilities.")}
            assert shares == {f"probabilities.{name}": share for name, share in line["probabilities"].items()}
            label = line["label"] if isinstance(line["label"], str) else json.dumps(line["label"])
            said = [row[name] for name in ("id", "line", "label", "tokens_seen", "empty")]
            assert said == [line["id"] or "", str(line["line"]), label, str(line["tokens_seen"]), str(line["empty"])]
    said = memenc("predict", "--model", model, "--data", data, "--output", tmp_path / "out.parquet", code=1).err
    assert "predictions are JSON lines or tables; give a name in .jsonl, .csv or .tsv" in said


def test_documents_come_in_many_ways(memenc, model, lines, tmp_path):
    rows = reviews(3, seed=4)
    wanted = [line["probabilities"] for line in memenc("predict", "--model", model, "--data", lines(rows)).lines]
    piped = memenc("predict", "--model", model, "--data", "-", stdin=lines(rows).read_text())
    assert [line["probabilities"] for line in piped.lines] == wanted
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.txt").write_text(row["text"])
    found = memenc("predict", "--model", model, "--data", f"{tmp_path}/*.txt").lines
    assert [(line["id"], line["probabilities"]) for line in found] == [
        (f"{number}.txt", shares) for number, shares in enumerate(wanted)
    ]
    table = tmp_path / "a.csv"
    table.write_text("".join(f"{text}\n" for text in ("id;text", *(f"{row['id']};{row['text']}" for row in rows))))
    assert "is the delimiter ';'?" in memenc("predict", "--model", model, "--data", table, code=1).err
    found = memenc("predict", "--model", model, "--data", table, "--delimiter", ";").lines
    assert [line["probabilities"] for line in found] == wanted


def test_predictions_are_utf8_whatever_the_console_has(model, lines):
    rows = [{**row, "id": f"文書-{row['id']}"} for row in reviews(3)]
    command = ["predict", "--model", str(model), "--data", str(lines(rows))]
    done = CliRunner(charset="cp1252").invoke(app, command)
    assert done.exit_code == 0, done.stderr
    found = [json.loads(line)["id"] for line in done.stdout_bytes.decode("utf-8").splitlines()]
    assert found == [row["id"] for row in rows]


def test_the_console_has_its_encoding_again_afterwards():
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252", "replace")
    with pytest.raises(KeyboardInterrupt), utf8(stream):
        stream.write("文\n")
        raise KeyboardInterrupt
    stream.write("é文")
    stream.flush()
    assert stream.buffer.getvalue() == "文\n".encode() + b"\xe9?" and (stream.encoding, stream.errors) == (
        "cp1252",
        "replace",
    )
    with utf8(io.StringIO()) as same:
        same.write("文")
    assert same.getvalue() == "文"


def test_evaluate(memenc, model, lines, tmp_path):
    rows = reviews(10, seed=5)
    path, output = lines(rows), tmp_path / "scores.json"
    said = memenc("evaluate", "--model", model, "--data", path, "--output", output, "--seed", 7).out
    assert "accuracy" in said and "tokens per second" in said
    written = json.loads(output.read_text())
    (record,) = written["records"]
    assert written["seed"] == 7
    right = [entry["label"] for entry in memenc("predict", "--model", model, "--data", path).lines]
    assert record["accuracy"] == numpy.mean([row["label"] == label for row, label in zip(rows, right, strict=True)])
    assert record["documents"] == 10
    assert record["tokens"] == sum(len(row["text"].split()) for row in rows)
    assert (tmp_path / "scores.csv").is_file()


def test_evaluate_several_labels_and_quantities(memenc, several, regression, lines):
    rows = [{**row, "label": ["report"]} for row in reviews(4)]
    assert "micro f1" in memenc("evaluate", "--model", several, "--data", lines(rows)).out
    rows = [{**row, "label": 0.5 * number} for number, row in enumerate(reviews(4))]
    assert "mean squared error" in memenc("evaluate", "--model", regression, "--data", lines(rows)).out


def test_evaluate_names_unknown_labels(memenc, model, lines):
    path = lines([*reviews(2), {"text": "a", "label": "mixed"}])
    said = memenc("evaluate", "--model", model, "--data", path, code=1).err
    assert "unknown label 'mixed'" in said and "line 3" in said
    assert "holds no documents" in memenc("evaluate", "--model", model, "--data", lines([]), code=1).err


def test_weights_that_do_not_fit_are_never_made_up(memenc, model, lines, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    weights = load_file(copy / "model.safetensors")
    del weights["classifier.bias"]
    weights["classifier.weight"] = weights["classifier.weight"][:1].clone()
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    (copy / "checksums.json").unlink()
    said = memenc("predict", "--model", copy, "--data", lines(reviews(2)), code=1).err
    assert "do not fit" in said and "classifier.bias, classifier.weight" in said


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_folder_that_is_no_model(memenc, lines, tmp_path, command):
    path = lines(reviews(2))
    assert "holds no memenc_estimator.json" in memenc(command, "--model", tmp_path, "--data", path, code=1).err
    (tmp_path / "memenc_estimator.json").write_text("{")
    assert "is damaged" in memenc(command, "--model", tmp_path, "--data", path, code=1).err
    (tmp_path / "memenc_estimator.json").write_text('{"classes": ["a", "b"]}')
    assert memenc(command, "--model", tmp_path, "--data", path, code=1).err.startswith("error: ")
