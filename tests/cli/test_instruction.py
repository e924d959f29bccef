"""`memenc train --instruction`: saved, used without being told, put aside by another, refused where it has no room."""

import json

import pytest
from transformers import pipeline

from memenc import MemencModel
from tests.cli.documents import FAST, SMALL, reviews
from tests.cli.test_tasks import asked

TEXT = "report word1 word2"


@pytest.fixture(scope="module")
def train(memenc, backbone, tmp_path_factory):
    """Train on rows with an instruction, small and fast."""

    def run(rows, *more, instruction=TEXT, code=0):
        folder = tmp_path_factory.mktemp("instructed")
        path = folder / "train.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        common = ["--train", path, "--backbone", backbone, "--output", folder / "model", "--instruction", instruction]
        done = memenc("train", *common, *SMALL, *FAST, *more, code=code)
        return done if code else folder / "model"

    return run


@pytest.fixture(scope="module")
def instructed(train):
    return train(reviews(12))


def said(memenc, folder, path, *more):
    return [line.get("probabilities") for line in memenc("predict", "--model", folder, "--data", path, *more).lines]


def test_a_model_uses_its_instruction_until_it_gets_another(memenc, instructed, lines):
    rows = reviews(5, seed=1)
    path, config = lines(rows), MemencModel.from_pretrained(instructed).config
    assert config.instruction == [6, 8, 9]
    own = said(memenc, instructed, path)
    assert said(memenc, instructed, path, "--instruction", TEXT) == own
    assert said(memenc, instructed, path, "--instruction", "word30") != own
    piped = pipeline("text-classification", model=str(instructed), device="cpu")(rows[0]["text"], top_k=None)
    assert {each["label"]: each["score"] for each in piped} == pytest.approx(own[0], abs=1e-5)


def test_scores_are_those_with_the_instruction(memenc, instructed, lines, tmp_path):
    path = lines(reviews(5, seed=2))
    for text in (TEXT, "word30"):
        memenc("evaluate", "--model", instructed, "--data", path, "--instruction", text, "--output", tmp_path / text)
        assert json.loads((tmp_path / f"{text}.json").read_text())["instruction"] == text
    assert json.loads((instructed / "memenc_estimator.json").read_text())["parameters"]["model_options"]["instruction"]


def test_answers_lie_in_segments_beside_instruction_and_question(memenc, train, lines):
    rows = asked(6)
    folder = train(rows, "--task", "question-answering")
    documents = {row["id"]: row["document"] for row in rows}
    for line in memenc("predict", "--model", folder, "--data", lines(rows)).lines:
        if line["answer"]:
            # 16 tokens, of which three are special, three the instruction and two the question.
            assert line["segment"] == documents[line["document"]][: line["start"]].count(" ") // 8


def test_one_without_room_is_refused(memenc, train, instructed, lines):
    long = "word1 " * 13
    assert "instruction has 13 tokens" in train(reviews(12), instruction=long, code=1).err
    assert "has no tokens" in train(reviews(12), instruction=" ", code=1).err
    path = lines(reviews(2))
    refused = memenc("predict", "--model", instructed, "--data", path, "--instruction", long, code=1).err
    assert "instruction has 13 tokens" in refused and "room for 12" in refused
    # Room for the instruction alone, but not for a question beside it.
    refused = train(asked(6), "--task", "question-answering", instruction="word1 " * 11, code=1).err
    assert "has 2 tokens, but a segment has room for 1" in refused
