"""Classes of pairs of documents: what may stand under "label", and what is said of the rest."""

import csv
import json

import pytest
from sklearn.metrics import f1_score
from transformers import AutoTokenizer

from memenc.cli.corpus import Corpus, CorpusOptions
from tests.cli.documents import FAST, SMALL
from tests.cli.task_records import classified


@pytest.fixture
def train(memenc, backbone, tmp_path):
    def run(path, *more, code=0):
        common = ["--train", path, "--backbone", backbone, "--output", tmp_path / "out"]
        return memenc("train", *common, "--task", "pair-classification", *SMALL, *FAST, *more, code=code)

    return run


def without(name, rows):
    return [{key: value for key, value in row.items() if key != name} for row in rows]


def test_macro_f1_is_that_of_the_predictions(memenc, folder_of, lines, tmp_path):
    rows = classified(9, seed=2)
    common = ["--model", folder_of("pair-classification"), "--data", lines(rows)]
    said = [line["label"] for line in memenc("predict", *common).lines]
    memenc("evaluate", *common, "--output", tmp_path / "scores.json")
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["records"]
    wanted = f1_score([row["label"] for row in rows], said, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(wanted) and scores["pairs"] == 9


def test_predicting_needs_no_class_and_says_which_pair_it_is(memenc, folder_of, lines):
    rows = classified(3, seed=3)
    folder = folder_of("pair-classification")
    found = memenc("predict", "--model", folder, "--data", lines(without("label", rows), "new.jsonl")).lines
    assert found == memenc("predict", "--model", folder, "--data", lines(rows)).lines
    assert [line["id"] for line in found] == [row["id"] for row in rows]
    assert [line["other_tokens_seen"] for line in found] == [len(row["other"].split()) for row in rows]


def test_numbers_are_classes_and_come_back_as_numbers(memenc, train, lines, tmp_path):
    rows = [row | {"label": 3 if row["label"] == "part" else 7} for row in classified(12)]
    train(lines(rows))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["task"] == "pair-classification" and results["classes"] == [3, 7]
    assert results["validation"].keys() == {"pairs", "accuracy", "macro_f1"}
    for line in memenc("predict", "--model", tmp_path / "out", "--data", lines(rows)).lines:
        assert line["label"] in (3, 7) and list(line["probabilities"]) == ["3", "7"]


def test_classes_of_a_table_are_spread_over_both_parts(train, backbone, tmp_path):
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "other", "label"])
        writer.writeheader()
        writer.writerows(classified(20))
    corpus = Corpus.of(CorpusOptions(str(path), task="pair-classification", validation_share=0.2))
    for seed in range(5):
        parts = corpus.tokenised(AutoTokenizer.from_pretrained(backbone), seed, None)
        assert [sorted(item["labels"] for item in part.items) for part in parts] == [[0] * 8 + [1] * 8, [0, 0, 1, 1]]
    train(path, "--validation-share", "0.2")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "apart", "1": "part"} and config["pair_loss"] == "classification"


BAD = {
    "without a class": (lambda rows: without("label", rows), [], "line 1: a pair without 'label', its class"),
    "of an empty class": (lambda rows: [*rows, rows[0] | {"label": " "}], [], "line 5: a pair without 'label'"),
    "of several classes": (
        lambda rows: [*rows, rows[0] | {"label": ["part"]}],
        [],
        "line 5: 'label' must be the class of the pair: text, a whole number, yes or no; found \"['part']\"",
    ),
    "of other classes": (lambda rows: [*rows, rows[0] | {"label": 3}], [], "3 (line 5) is int; make them all one type"),
    "of one class": (lambda rows: rows[:1] * 3, [], "at least 2 classes"),
    "of similarities": (
        lambda rows: [row | {"label": 0.5} for row in rows],
        [],
        "'label' has quantities, 0.5 first: learn similarities by --task embedding",
    ),
    "of similarities by name": (
        lambda rows: rows,
        ["--problem-type", "regression"],
        "--problem-type regression: pair-classification learns one class of every pair",
    ),
    "without another": (lambda rows: without("other", rows), [], "column 'other' is missing"),
    "with a number": (lambda rows: [*rows, rows[0] | {"other": 3}], [], "line 5: the other document must be text"),
}


@pytest.mark.parametrize("name", BAD)
def test_pairs_are_refused_that_are(train, lines, name):
    change, options, message = BAD[name]
    assert message in train(lines(change(classified(4))), *options, code=1).err


def test_a_class_that_was_not_trained_is_refused_or_left_out(memenc, folder_of, train, lines, tmp_path):
    rows = [*classified(3, seed=4), {"text": "word1", "other": "word2", "label": "mixed"}]
    common = ["--model", folder_of("pair-classification"), "--data", lines(rows)]
    said = memenc("evaluate", *common, code=1).err
    assert "line 4: unknown label 'mixed'; the training labels are 'apart', 'part'" in said
    done = memenc("evaluate", *common, "--on-bad-record", "skip", "--output", tmp_path / "scores.json")
    assert "left out" in done.err
    assert json.loads((tmp_path / "scores.json").read_text())["records"][0]["documents"] == 3
    said = train(lines(classified(12), "train.jsonl"), "--validation", lines(rows), code=1).err
    assert "unknown label 'mixed'" in said


def test_embeddings_of_classified_pairs_say_which_task_is_meant(memenc, backbone, lines, tmp_path):
    common = ["--train", lines(classified(4)), "--backbone", backbone, "--output", tmp_path / "out"]
    said = memenc("train", *common, "--task", "embedding", *SMALL, *FAST, code=1).err
    assert "found 'part'; classes of pairs are learned by --task pair-classification" in said
