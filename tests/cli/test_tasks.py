"""Questions, options and words through `memenc train`, `predict` and `evaluate`."""

import json
from typing import get_args

import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from memenc import LongDocumentClassifier, MemencForTextPairs, MemencModel
from memenc.cli.options import TaskName
from memenc.training.tasks import TASKS
from tests.cli.documents import FAST, SMALL
from tests.cli.task_records import KINDS, asked, chosen, tagged


def test_every_task_is_trained_here():
    assert {kind.split(",")[0] for kind in KINDS} | {"sequence-classification"} == set(TASKS)
    assert get_args(TaskName) == tuple(TASKS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_says_whether_its_document_is_empty(memenc, folder_of, lines, kind):
    rows = KINDS[kind][0](2, seed=6)
    rows[1] |= {name: [] if name == "words" else "" for name in ("words", "document", "text") if name in rows[1]}
    # No answer stands in an empty document.
    rows[1]["questions"] = [{**each, "answers": []} for each in rows[1].get("questions", [])]
    found = memenc("predict", "--model", folder_of(kind), "--data", lines(rows)).lines
    ids = [line.get("document", line["id"]) for line in found]
    assert [line["empty"] for line in found] == [name == rows[1]["id"] for name in ids]
    assert [line["tokens_seen"] == 0 for line in found] == [line["empty"] for line in found]
    assert len(set(ids)) == 2
    if "other" in rows[1]:
        assert [line["other_empty"] for line in found] == [False, False]
        assert [line["other_tokens_seen"] for line in found] == [len(row["other"].split()) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_predictions(memenc, folder_of, lines, tmp_path, kind):
    folder, rows = folder_of(kind), KINDS[kind][0](5, seed=1)
    path = lines(rows)
    found = memenc("predict", "--model", folder, "--data", path).lines
    memenc("evaluate", "--model", folder, "--data", path, "--output", tmp_path / "scores.json")
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["records"]
    assert scores["documents"] == 5
    right = RIGHT[kind](rows, found, folder)
    assert scores[SCORE[kind]] == pytest.approx(sum(right) / len(right), abs=1e-6)


def right_answers(rows, found, folder):
    questions = [question for row in rows for question in row["questions"]]
    assert [line["id"] for line in found] == [question["id"] for question in questions]
    return [line["answer"] == question["answers"][0]["text"] for line, question in zip(found, questions, strict=True)]


def right_options(rows, found, folder):
    questions = [question for row in rows for question in row["questions"]]
    assert [len(line["probabilities"]) for line in found] == [len(question["options"]) for question in questions]
    assert all(abs(sum(line["probabilities"]) - 1) < 1e-4 for line in found)
    return [line["option"] == question["answer"] for line, question in zip(found, questions, strict=True)]


def right_words(rows, found, folder):
    assert [line["empty"] for line in found] == [not row["words"] for row in rows]
    for row, line in zip(rows, found, strict=True):
        text = " ".join(row["words"])
        assert len(line["labels"]) == len(row["words"])
        assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in line["entities"])
    return [
        said == label
        for row, line in zip(rows, found, strict=True)
        for said, label in zip(line["labels"], row["labels"], strict=True)
    ]


def embedded(folder, rows):
    """Embeddings of both documents of every pair, by the folder as an encoder."""
    model, tokenizer = MemencModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return [
        functional.normalize(model.encode([row[name] for row in rows], tokenizer), dim=1) for name in ("text", "other")
    ]


def found_others(rows, found, folder):
    first, second = embedded(folder, rows)
    assert [line["similarity"] for line in found] == pytest.approx((first * second).sum(1).tolist(), abs=1e-5)
    assert json.loads((folder / "config.json").read_text())["pair_temperature"] == 0.1
    return [int(best) == place for place, best in enumerate((first @ second.T).argmax(1))]


def squared_errors(rows, found, folder):
    first, second = embedded(folder, rows)
    assert [line["similarity"] for line in found] == pytest.approx((first * second).sum(1).tolist(), abs=1e-5)
    return [(line["similarity"] - row["label"]) ** 2 for line, row in zip(found, rows, strict=True)]


def right_classes(rows, found, folder):
    model, tokenizer = MemencForTextPairs.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    first, second = (model.memenc.encode([row[name] for row in rows], tokenizer) for name in ("text", "other"))
    assert model.config.id2label == {0: "apart", 1: "part"}
    shares = model.classifier(torch.cat([first, second, (first - second).abs()], dim=1)).softmax(1)
    for line, share in zip(found, shares.tolist(), strict=True):
        assert list(line["probabilities"].values()) == pytest.approx(share, abs=1e-5)
        assert line["label"] == max(line["probabilities"], key=line["probabilities"].get)
    return [line["label"] == row["label"] for line, row in zip(found, rows, strict=True)]


SCORE = {
    "question-answering": "exact_match",
    "question-answering, last": "accuracy",
    "multiple-choice": "accuracy",
    "token-classification": "accuracy",
    "embedding": "accuracy_at_1",
    "embedding, similar": "mean_squared_error",
    "pair-classification": "accuracy",
}
RIGHT = {
    "question-answering": right_answers,
    "question-answering, last": right_answers,
    "multiple-choice": right_options,
    "token-classification": right_words,
    "embedding": found_others,
    "embedding, similar": squared_errors,
    "pair-classification": right_classes,
}


def test_answers_are_characters_of_the_document(memenc, folder_of, lines):
    rows = asked(6, seed=2)
    # Without answers, as for somebody who asks.
    for row in rows:
        for question in row["questions"]:
            del question["answers"]
    found = memenc("predict", "--model", folder_of("question-answering"), "--data", lines(rows)).lines
    documents = {row["id"]: row["document"] for row in rows}
    assert len(found) == 12
    for line in found:
        if line["answer"]:
            assert documents[line["document"]][line["start"] : line["end"]] == line["answer"]
            # 16 tokens, of which three are special and two the question.
            assert line["segment"] == documents[line["document"]][: line["start"]].count(" ") // 11
        assert 0 <= line["no_answer"] <= 1 and 0 <= line["score"] <= 1


def test_a_question_without_an_answer_is_scored_apart(memenc, folder_of, lines):
    rows = asked(3, seed=3)
    rows[0]["questions"][0]["answers"] = []
    said = memenc("evaluate", "--model", folder_of("question-answering"), "--data", lines(rows)).out
    assert "no answer accuracy" in said and "answerable f1" in said


def test_labels_with_the_question_last_have_evidence(memenc, folder_of, lines):
    rows = asked(3, seed=4, last=True)
    for line in memenc("predict", "--model", folder_of("question-answering, last"), "--data", lines(rows)).lines:
        assert line["answer"] in ("low", "high") and line["start"] is None
        assert sum(weight for _, weight in line["evidence"]) <= 1.001 and line["segment"] == line["evidence"][0][0]


def test_a_folder_says_what_it_was_trained_for(memenc, folder_of, lines):
    folder, path = folder_of("multiple-choice"), lines(chosen(2))
    assert memenc("predict", "--model", folder, "--data", path, "--task", "multiple-choice").lines
    said = memenc("predict", "--model", folder, "--data", path, "--task", "question-answering", code=1).err
    assert "was trained for multiple-choice" in said
    with pytest.raises(ValueError, match="holds a model for multiple-choice"):
        LongDocumentClassifier.from_pretrained(folder)


def test_half_a_surrogate_pair_comes_back_as_it_was_written(memenc, folder_of, lines):
    rows = asked(1)
    rows[0]["questions"][0]["id"] = "\ud800"
    (said, _) = memenc("predict", "--model", folder_of("question-answering"), "--data", lines(rows)).lines
    assert said["id"] == "\ud800"


def test_documents_without_words_are_no_obstacle(memenc, folder_of, backbone, tmp_path, lines):
    rows = [{"words": [], "labels": []}, *tagged(6)]
    common = ["--train", lines(rows), "--backbone", backbone, "--output", tmp_path / "out"]
    memenc("train", *common, "--task", "token-classification", *SMALL, *FAST)
    scores = tmp_path / "scores.json"
    options = ["--data", lines(rows), "--output", scores]
    memenc("evaluate", "--model", folder_of("token-classification"), *options)
    (found,) = json.loads(scores.read_text())["records"]
    assert found["documents"] == 7 and 0 <= found["f1"] <= 1


def test_a_document_shorter_than_its_question_and_an_empty_one(memenc, folder_of, lines):
    questions = [{"id": "a", "question": "report word1 word2 word3"}]
    rows = [{"document": "word1", "questions": questions}, {"document": "", "questions": [questions[0] | {"id": "b"}]}]
    short, empty = memenc("predict", "--model", folder_of("question-answering"), "--data", lines(rows)).lines
    assert short["answer"] in ("word1", "") and empty["answer"] == "" and empty["tokens_seen"] == 0
    options = {"options": ["word1", "word2"]}
    rows = [row | {"questions": [row["questions"][0] | options]} for row in rows]
    assert len(memenc("predict", "--model", folder_of("multiple-choice"), "--data", lines(rows)).lines) == 2


def test_words_may_be_text(memenc, folder_of, lines):
    (line,) = memenc(
        "predict", "--model", folder_of("token-classification"), "--data", lines([{"text": "word1  word30"}]),
        "--text-column", "text",
    ).lines  # fmt: skip
    assert len(line["labels"]) == 2


@pytest.mark.parametrize("kind", ("question-answering", "question-answering, last", "multiple-choice"))
def test_further_answers_leave_the_best_as_it_is(memenc, folder_of, lines, kind):
    path, predict = lines(KINDS[kind][0](3, seed=5)), ["predict", "--model", folder_of(kind), "--data"]
    alone = memenc(*predict, path).lines
    several = memenc(*predict, path, "--answers", "2").lines
    further = [line.pop("further") for line in several]
    assert several == alone
    for line, found in zip(alone, further, strict=True):
        # A span may be the whole document.
        assert len(found) == 1 or kind == "question-answering"
        assert all(each["score"] <= line.get("score", 1) for each in found)
        assert all((each["answer"], each.get("start")) != (line["answer"], line.get("start")) for each in found)


def test_answers_that_make_no_sense_are_refused(memenc, folder_of, model, lines):
    path = lines([{"text": "word1"}])
    said = memenc("predict", "--model", model, "--data", path, "--answers", "2", code=1).err
    assert "--answers 2: sequence-classification answers no questions; leave it out" in said
    assert "--answers" in memenc("predict", "--model", model, "--data", path, "--answers", "0", code=2).err


def test_questions_in_a_column_of_another_name(memenc, folder_of, lines):
    kind = "question-answering, last"
    folder, rows = folder_of(kind), KINDS[kind][0](3, seed=2)
    renamed = [
        {**{name: value for name, value in row.items() if name != "questions"}, "q": row["questions"]} for row in rows
    ]
    found = memenc("predict", "--model", folder, "--data", lines(renamed), "--label-column", "q").lines
    assert found == memenc("predict", "--model", folder, "--data", lines(rows, "named.jsonl")).lines
    said = memenc(
        "predict", "--model", folder_of("token-classification"), "--data", lines(rows), "--label-column", "q", code=1
    )
    assert "predicts from documents alone" in " ".join(said.err.split())


def test_tokens_of_both_documents_of_a_pair_are_counted(memenc, folder_of, lines, tmp_path):
    rows = [{"id": str(number), "text": "report word1", "other": "word1 " * 30} for number in range(3)]
    data = lines(rows)
    memenc("evaluate", "--model", folder_of("embedding"), "--data", data, "--output", tmp_path / "x.json")
    (scores,) = json.loads((tmp_path / "x.json").read_text())["records"]
    assert scores["tokens"] == 3 * (2 + 30)
