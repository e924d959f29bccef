import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from memenc import LongDocumentClassifier
from tests.cli.documents import FAST, SMALL, reviews

datasets = pytest.importorskip("datasets")


@pytest.fixture
def train(memenc, backbone, tmp_path):
    """Train on a file, small and fast."""

    def run(path, *more, output="out", code=0):
        arguments = ["--train", path, "--backbone", backbone, "--output", tmp_path / output, *SMALL, *FAST, *more]
        return memenc("train", *arguments, code=code)

    return run


def test_writes_a_folder_that_the_estimator_reads(model):
    classifier = LongDocumentClassifier.from_pretrained(model)
    assert list(classifier.classes_) == ["bad", "good"]
    assert classifier.memory_options == {"window": 8, "slots": 4}
    assert classifier.predict_proba(["an excellent report"]).shape == (1, 2)


def test_results_say_how_they_were_made(model):
    results = json.loads((model / "results.json").read_text())
    assert results["seed"] == 0
    assert results["classes"] == ["bad", "good"]
    assert results["parameters"]["model_options"]["segment_length"] == 16
    assert results["corpus"]["documents"] == 22 and results["validation"].keys() == {"accuracy", "macro_f1"}
    assert results["environment"]["versions"]["torch"] and results["environment"]["hardware"]["cores"]
    assert (model / "results.csv").read_text().startswith("eval_loss,")


def test_reports_the_corpus_before_training(train, lines):
    long = [{"text": "word1 " * 520, "label": "good"}, {"text": "", "label": "bad"}]
    said = train(lines(reviews(4) + long), "--validation-share", "0").err
    assert "truncation at 512 tokens would drop" in said
    assert "1 of the training documents are empty" in said


def test_validation_file(train, lines, tmp_path):
    train(lines(reviews(12)), "--validation", lines(reviews(6, seed=1), "validation.jsonl"))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["corpus"]["documents"] == 12


def test_a_delimiter_is_that_of_the_files_that_have_one(train, lines, tmp_path):
    table = tmp_path / "train.csv"
    rows = [{"text": "text", "label": "label"}, *reviews(12)]
    table.write_text("".join(f"{row['text']}|{row['label']}\n" for row in rows))
    validation = lines(reviews(6, seed=1), "validation.jsonl")
    train(table, "--validation", validation, "--delimiter", "|")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["corpus"]["documents"] == 12 and results["options"]["delimiter"] == "|"
    said = train(validation, "--delimiter", "|", output="other", code=1).err
    assert "delimiter='|' is for .csv and .tsv; leave it out" in said


def test_rare_classes_count_more_and_results_say_how_much(train, lines, tmp_path, several):
    rows = [{**row, "label": "rare" if number % 6 == 0 else "common"} for number, row in enumerate(reviews(18))]
    train(lines(rows), "--class-weight", "balanced", "--validation-share", "0")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["class_weights"] == {"common": 0.6, "rare": 3.0}
    assert results["parameters"]["training"]["class_weight"] == "balanced"
    assert json.loads((several / "results.json").read_text())["class_weights"] is None
    listed = [{**row, "label": [row["label"]]} for row in rows]
    said = train(lines(listed), "--class-weight", "balanced", output="other", code=1).err
    assert "class_weight='balanced' is for documents of one class each" in said


def test_multi_label_and_regression(several, regression):
    for folder, kind, score in [
        (several, "multi_label_classification", "micro_f1"),
        (regression, "regression", "mean_squared_error"),
    ]:
        assert json.loads((folder / "memenc_estimator.json").read_text())["problem_type"] == kind
        assert score in json.loads((folder / "results.json").read_text())["validation"]


def test_csv_numbers_can_be_quantities(train, tmp_path):
    rows = [f"{row['text']},{number}" for number, row in enumerate(reviews(12))]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["body,stars", *rows]))
    train(path, "--text-column", "body", "--label-column", "stars", "--problem-type", "regression")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["problem_type"] == "regression"


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_resume_after_the_first_epoch_gives_the_weights_of_an_uninterrupted_run(train, lines, tmp_path):
    # Without validation documents the last epoch counts, whichever was best.
    path, options = lines(reviews(16)), ["--epochs", "2", "--validation-share", "0"]
    train(path, *options, output="whole")
    checkpoints = tmp_path / "whole" / "checkpoints"
    first = min(checkpoints.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    shutil.copytree(first, tmp_path / "stopped" / "checkpoints" / first.name)
    shutil.copy(checkpoints / "run.json", tmp_path / "stopped" / "checkpoints")
    train(path, *options, "--resume", output="stopped")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not all(torch.equal(whole[name], value) for name, value in load_file(first / "model.safetensors").items())


def test_resume_refuses_another_run(train, lines):
    path = lines(reviews(12))
    train(path)
    assert "learning_rate 5e-05, this one 0.1" in train(path, "--resume", "--learning-rate", "0.1", code=1).err
    said = train(lines(reviews(14), "more.jsonl"), "--resume", code=1).err
    assert "--resume: the earlier run had other training documents or labels" in said and "documents 11" not in said
    train(path, "--resume", "--tokens-per-batch", "64")


@pytest.mark.slow
def test_two_processes_train_one_model(lines, backbone, tmp_path):
    arguments = ["--train", lines(reviews(16)), "--backbone", backbone, "--output", tmp_path / "out", *SMALL, *FAST]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "memenc", "train"]
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "kernels")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [str(part) for part in (sys.executable, *launch, *arguments)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    # One of them speaks.
    assert done.stderr.count("truncation at 512 tokens") == 1 and done.stdout.count("accuracy") == 1
    assert LongDocumentClassifier.from_pretrained(tmp_path / "out").predict(["an excellent report"]).shape == (1,)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    # Two steps of eight documents, of which each process reads four.
    assert results["corpus"]["documents"] == 14 and results["records"][-1]["step"] == 2
    assert (tmp_path / "out" / "checkpoints" / "checkpoint-2" / "rng_state_1.pth").is_file()


def test_checkpoints_of_two_runs_do_not_mix(train, lines, tmp_path):
    path = lines(reviews(12))
    train(path)
    assert "add --resume or --overwrite" in train(path, code=1).err
    assert "contradict" in train(path, "--resume", "--overwrite", code=1).err
    train(path, "--overwrite", "--memory", "elephant", code=1)
    assert (tmp_path / "out" / "checkpoints" / "run.json").exists()
    train(path, "--overwrite")


def test_a_run_takes_away_no_file_but_its_own(train, lines, tmp_path):
    mine = tmp_path / "out" / "checkpoints" / "epoch1.pt"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    train(lines(reviews(12)))
    train(lines(reviews(12)), "--overwrite")
    assert mine.read_bytes() == b"mine"


def test_resume_without_a_checkpoint_starts_from_the_beginning(train, lines):
    assert "starting from the beginning" in train(lines(reviews(12)), "--resume").err


def test_bad_records(train, lines):
    path = lines([*reviews(12), '{"text": "broken', {"text": 3, "label": "good"}])
    said = train(path, code=1).err
    assert said.count("\n") == 1 and f"{path}, line 13: broken JSON" in said
    said = train(path, "--on-bad-record", "skip").err
    assert "line 13: broken JSON" in said and "line 14: column 'text' must be text" in said
    assert "11 documents" in said


BAD = {
    "missing column": (["--text-column", "body"], "column 'body' is missing; the columns there are: 'id', 'text'"),
    "unknown memory": (["--memory", "elephant"], "unknown memory 'elephant'; available: none, windowed"),
    "unknown option": (["--memory-option", "depth=3"], "memory 'compressive' has no option depth; it has: window"),
    "option without value": (["--memory-option", "slots"], "'slots': write key=value"),
    "option given twice": (["--memory-option", "slots=2"], "--memory-option slots is given twice"),
    "option with a list": (["--memory-option", "rate=[1]"], "must be a number"),
    "unfit option": (["--memory-option", "rate=3"], "rate=3 must divide"),
    "unknown readout": (["--readout", "crystal"], "unknown readout 'crystal'"),
    "setting": (["--learning-rate", "0"], "learning_rate=0.0: give a number above 0"),
    "share": (["--validation-share", "1.5"], "--validation-share 1.5: give a share"),
    "file": (["--validation", "./none.jsonl"], "there is no such file"),
    "backbone": (["--backbone", "./no-such-folder"], "no-such-folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_user_errors_are_one_line(train, lines, name):
    arguments, message = BAD[name]
    said = train(lines(reviews(12)), *arguments, code=1).err
    assert message in said
    assert [line for line in said.splitlines() if line.startswith("error: ")] == said.splitlines()


def test_label_only_in_validation(train, lines):
    rows = [*reviews(2), {"text": "a film", "label": "mixed"}]
    said = train(lines(reviews(12)), "--validation", lines(rows, "validation.jsonl"), code=1).err
    assert "unknown label 'mixed'" in said and "validation.jsonl, line 3" in said


def test_a_label_that_is_none_is_named_by_its_line_and_may_be_skipped(train, lines):
    rows = [*reviews(12), {"text": "a film", "label": math.nan}, {"text": "a film", "label": {"stars": 3}}]
    said = train(lines(rows), code=1).err
    assert "line 13: label 'nan' is float; use text" in said
    said = train(lines(rows), "--on-bad-record", "skip").err
    assert "line 13: label 'nan'" in said and "line 14: label \"{'stars': 3}\" is dict" in said
    mixed = [*reviews(12), {"text": "a film", "label": 3}]
    assert "3 (line 13) is int; make them all one type" in train(lines(mixed), "--overwrite", code=1).err


@pytest.mark.parametrize(
    ("kind", "labels", "bad", "message"),
    [
        ("regression", ["0.5", "1", "2.25"], "n/a", "label 'n/a' is not a finite number"),
        ("multi_label_classification", [["a"], [], ["a", "b"]], "b", "label 'b' is str, but with several labels"),
        ("single_label_classification", ["a", "b"], ["b"], "label \"['b']\" is list, but single_label"),
    ],
)
def test_a_label_of_another_kind_than_asked_for_may_be_skipped(train, lines, kind, labels, bad, message):
    rows = [{**row, "label": labels[number % len(labels)]} for number, row in enumerate(reviews(12))]
    path = lines([*rows, {"text": "a film", "label": bad}])
    said = train(path, "--problem-type", kind, code=1).err
    assert f"line 13: {message}" in said and "--on-bad-record" in said
    said = train(path, "--problem-type", kind, "--on-bad-record", "skip").err
    assert f"left out: {path}, line 13: {message}" in said and "11 documents" in said


def test_labels_that_contradict_each_other_are_not_skipped_and_that_is_said(train, lines):
    for labels, message in ((["a", ["b"]], "is known only if problem_type"), (["a", 3], "so none is skipped")):
        rows = [{**row, "label": labels[number == 7]} for number, row in enumerate(reviews(12))]
        said = train(lines(rows), "--on-bad-record", "skip", code=1).err
        assert message in said and "(line 8)" in said


def test_a_quantity_is_learned_with_a_single_document_held_out(train, lines, tmp_path):
    rows = [{**row, "label": number / 4} for number, row in enumerate(reviews(12))]
    train(lines(rows), "--epochs", "2", "--validation-share", "0.1")
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["validation"]
    assert scores["r2"] is None and math.isfinite(scores["mean_squared_error"])


def test_one_class_and_no_documents(train, lines):
    assert "at least 2 classes" in train(lines([{"text": "a", "label": "x"}] * 3), code=1).err
    assert "holds no documents" in train(lines([]), code=1).err
    empty = [{**row, "text": " "} for row in reviews(12)]
    assert "training documents has a token; there is nothing to learn" in train(lines(empty), code=1).err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_device_that_is_not_there(train, lines):
    assert "torch sees no CUDA device" in train(lines(reviews(12)), "--device", "cuda", code=1).err


@pytest.mark.parametrize("way", ("lora", "prefix"))
def test_adapts_as_asked_resumes_and_predicts_the_same(way, train, memenc, lines, tmp_path):
    pytest.importorskip("peft")
    path = lines(reviews(16))
    said = train(path, "--adapt", way).err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    cost = results["adaptation"]
    assert results["parameters"]["training"]["adapt"] == cost["adapt"] == way
    assert f"adapt {way}: {cost['trained_parameters']:,} of {cost['parameters']:,} parameters trained" in said
    assert not any("lora_" in name for name in weights(tmp_path / "out"))
    assert "adapt 'full'" in train(path, "--adapt", "full", "--resume", code=1).err.replace(f"'{way}', this one ", "")
    before = weights(tmp_path / "out")
    train(path, "--adapt", way, "--resume")
    assert all(torch.equal(before[name], value) for name, value in weights(tmp_path / "out").items())
    rows = memenc("predict", "--model", tmp_path / "out", "--data", path).lines
    shares = LongDocumentClassifier.from_pretrained(tmp_path / "out").predict_proba(
        [row["text"] for row in reviews(16)]
    )
    assert [row["probabilities"]["bad"] for row in rows] == [round(share, 6) for share in shares[:, 0].tolist()]


def test_resume_refuses_other_documents_to_choose_the_epoch_by(train, lines):
    path, one, other = lines(reviews(12)), lines(reviews(6, seed=1), "1.jsonl"), lines(reviews(6, seed=2), "2.jsonl")
    train(path, "--validation", one)
    said = train(path, "--validation", other, "--resume", code=1).err
    assert "the earlier run had other validation documents or labels" in " ".join(said.split())
    train(path, "--validation", one, "--resume")


def test_a_split_of_a_file_without_any_is_refused(train, lines):
    said = train(lines(reviews(12)), "--validation-split", "test", code=1).err
    assert "split='test' chooses within a dataset" in " ".join(said.split())


def test_the_split_of_a_dataset_chooses_the_epoch(train, tmp_path):
    splits = {
        name: datasets.Dataset.from_list(reviews(count, seed=count)) for name, count in (("train", 12), ("test", 5))
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "data")
    train(tmp_path / "data", "--train-split", "train", "--validation-split", "test")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["corpus"]["documents"] == 12 and results["validation"]["accuracy"] * 5 == pytest.approx(
        round(results["validation"]["accuracy"] * 5)
    )


@pytest.mark.parametrize("share", ["1", "30", "-0.1"])
def test_a_share_of_warm_up_that_is_none_is_refused(train, lines, share):
    assert "warmup_share" in train(lines(reviews(12)), "--warmup-share", share, code=1).err
