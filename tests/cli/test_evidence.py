"""Evidence that training questions name: through `memenc train`, and in tokens."""

import json
import random

import pytest
from transformers import AutoTokenizer

from memenc.data.questions import Answer, AskedQuestion
from memenc.training.tasks.answers import evidence_of, evidence_positions
from tests.cli.documents import FAST, SMALL
from tests.cli.task_records import asked, chosen
from tests.tiny import WORDS

KINDS = {
    "question-answering, last": (lambda count, seed=0: asked(count, seed, True), ["--question-position", "last"]),
    "multiple-choice": (chosen, []),
}


@pytest.fixture
def train(memenc, backbone, lines, tmp_path):
    """Train on records of a kind, to tmp_path / "out"."""

    def by(kind, records, **expected):
        given = ["--train", lines(records), "--backbone", backbone, "--output", tmp_path / "out", "--overwrite"]
        return memenc("train", *given, "--task", kind.split(",")[0], *KINDS[kind][1], *SMALL, *FAST, **expected)

    return by


@pytest.mark.parametrize("kind", KINDS)
def test_what_answers_rest_on_is_learned_from(train, tmp_path, kind):
    records = KINDS[kind][0](10, 5)
    questions = [question for record in records for question in record["questions"]]

    def loss():
        train(kind, records)
        found = json.loads((tmp_path / "out" / "results.json").read_text())["records"]
        return next(record["train_loss"] for record in found if "train_loss" in record)

    without = loss()
    for question in questions:
        question["evidence"] = [[0, 3]] if random.random() < 0.5 else []
    questions[0]["evidence"] = [[0, 3]]
    assert loss() > without + 0.01, "evidence is a loss of its own"
    questions[7]["evidence"] = [[5, 10**6]]
    said = train(kind, records, code=1).err
    assert "line 4: question '5-3-1': the evidence [5, 1000000] is no stretch of its document" in said
    for wrong in (["word1"], "word1", 5, [[0, 3.5]], {"start": 0}):
        questions[7]["evidence"] = wrong
        assert "'evidence' must be a list of [start, end]" in train(kind, records, code=1).err, wrong


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_says_how_often_answers_rest_on_evidence(memenc, train, lines, tmp_path, kind):
    records, folder = KINDS[kind][0](6, seed=4), tmp_path / "out"
    train(kind, KINDS[kind][0](12))

    def scores():
        given = ["--model", folder, "--data", lines(records), "--output", tmp_path / "scores.json"]
        memenc("evaluate", *given)
        return json.loads((tmp_path / "scores.json").read_text())["records"][0]

    plain = scores()
    assert plain["questions"] == 12 and "accuracy" in plain
    assert kind == "multiple-choice" or "evidence_hit" not in plain
    asked_of = {line["id"]: line for line in memenc("predict", "--model", folder, "--data", lines(records)).lines}
    hits = []
    for record in records:
        words = record["document"].split(" ")
        for question in record["questions"]:
            place = random.randrange(len(words))
            start = len(" ".join(words[:place])) + (place > 0)
            question["evidence"] = [[start, start + len(words[place])]]
            # 16 tokens, of which two are special.
            hits.append(asked_of[question["id"]]["segment"] == place // 14)
    found = scores()
    assert found["evidence_questions"] == 12 and found["evidence_hit"] == pytest.approx(sum(hits) / 12)
    assert found["accuracy"] == plain["accuracy"]


def test_evidence_is_counted_in_tokens(backbone):
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    words = random.choices(WORDS, k=30)
    text, places = " ".join(words), sorted(random.sample(range(30), 3))
    starts = [len(" ".join(words[:place])) + (place > 0) for place in places]
    ends = [start + len(words[place]) for start, place in zip(starts, places, strict=True)]
    whole = AskedQuestion("report", evidence=((starts[0], ends[1]),), answers=(Answer("word1", 0),))
    one = AskedQuestion("report", answers=(Answer(words[places[2]], starts[2]), Answer("a label")))
    none = AskedQuestion("report", answers=(Answer("a label"),))
    item = {"questions": (whole, one, none)} | evidence_of((whole, one, none), text, tokenizer)
    assert item["evidence"] == [[(places[0], places[1])], [(places[2], places[2])], []]
    assert evidence_of((none,), text, tokenizer) == {} == evidence_positions([{"questions": (none,)}])
    found = evidence_positions([item, {"questions": (none,)}])
    assert found["start_positions"].tolist() == [[places[0]], [places[2]], [-100], [-100]]
    assert found["end_positions"].tolist() == [[places[1]], [places[2]], [-100], [-100]]
