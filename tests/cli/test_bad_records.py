"""What files of questions, options, words and pairs may not hold, and what is said then."""

import json

import pytest

from tests.cli.documents import FAST, SMALL
from tests.cli.task_records import asked, chosen, paired, tagged


def changed(rows, **values):
    rows[1]["questions"][0] |= values
    return rows


BAD = {
    "question without text": (changed(asked(3), question=" "), "line 2: question 0 needs a text"),
    "answer outside": (
        changed(asked(3), answers=[{"text": "word1", "start": 9_999}]),
        "line 2: question '0-1-0': the answer 'word1' at character 9999 lies outside its document",
    ),
    "answer elsewhere": (changed(asked(3), answers=[{"text": "elephant", "start": 0}]), "not the answer 'elephant'"),
    "answer without place": (changed(asked(3), answers=[{"text": "word1"}]), "the answer 'word1' has no 'start'"),
    "no answers": (changed(asked(3), answers=None), "line 2: question '0-1-0' has no 'answers'"),
    "answers no list": (changed(asked(3), answers="word1"), "'answers' must be a list"),
    "answer empty": (changed(asked(3), answers=[{"text": "", "start": 0}]), "an answer needs a 'text'"),
    "same question id": (changed(asked(3), id="0-0-1"), "question id '0-0-1' is there twice, first in line 1"),
    "same document id": ([*asked(3), asked(1)[0]], "line 4: document id '0-0' is there twice, first in line 1"),
    "no questions": ([*asked(3), {"document": "a", "questions": []}], "line 4: questions must be a list of at least"),
    "question too long": (changed(asked(3), question="word1 " * 30), "line 2: question '0-1-0' has 30 tokens"),
    "one option": (changed(chosen(3), options=["a"]), "line 2: question '0-1-0' needs at least 2 options"),
    "answer no option": (changed(chosen(3), answer=2), "has the answer 2, but 2 options"),
    "no option is right": (changed(chosen(3), answer=None), "has no 'answer'"),
    "labels of words": ([*tagged(3), {"words": ["a", "b"], "labels": ["O"]}], "line 4: 2 words but 1 labels"),
    "words with spaces": ([*tagged(3), {"words": ["a b"], "labels": ["O"]}], "word 0 is 'a b'"),
    "other no text": ([*paired(3), {"text": "a", "other": 3}], "line 4: the other document must be text"),
    "no cosine": (
        [*paired(3, 0, True), {"text": "a", "other": "b", "label": "2"}],
        "line 4: 'label' must be a similarity from -1 to 1, found '2'",
    ),
    "label unknown to words": ([{"words": ["a"], "labels": ["O"]}], "at least 2 labels"),
}


def test_a_record_that_is_left_out_takes_no_id_away(memenc, folder_of, lines):
    first, again = asked(1)[0], asked(1)[0]
    first["questions"][1]["question"] = " "
    found = memenc(
        *("predict", "--model", folder_of("question-answering"), "--data", lines([first, again])),
        *("--on-bad-record", "skip"),
    )
    assert [line["line"] for line in found.lines] == [2, 2]


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_named(memenc, backbone, tmp_path, lines, name):
    rows, message = BAD[name]
    task = "token-classification" if "words" in rows[0] else "question-answering"
    task = "embedding" if "other" in rows[0] else task
    task = "multiple-choice" if "options" in json.dumps(rows[0]) else task
    path = lines(rows)
    common = ["--train", path, "--backbone", backbone, "--output", tmp_path / "out", "--task", task]
    said = memenc("train", *common, *SMALL, *FAST, code=1).err
    assert (message in said and str(path) in said) or ("at least 2 labels" in message and message in said)


def test_pairs_of_two_kinds_are_refused(memenc, backbone, folder_of, lines, tmp_path):
    common = ["--backbone", backbone, "--output", tmp_path / "out", "--task", "embedding", *SMALL, *FAST]
    rows = [*paired(3, 0, True), *paired(1, 1)]
    said = memenc("train", "--train", lines(rows), *common, "--on-bad-record", "skip", code=1).err
    assert "line 4: a pair without 'label'" in said and "none is skipped (--on-bad-record)" in said
    said = memenc("evaluate", "--model", folder_of("embedding, similar"), "--data", lines(paired(2)), code=1).err
    assert "line 1: a pair without 'label'" in said
    curriculum = ["--segment-curriculum", "1,2"]
    said = memenc("train", "--train", lines(paired(10)), *common, *curriculum, code=1).err
    assert "segment_curriculum and most_segments cannot cut pairs" in said
    said = memenc("train", "--train", lines(paired(10)), *common, "--temperature", "0", code=1, env={})
    assert "temperature=0.0" in said.err
    said = memenc("train", "--train", lines(paired(10)), *common, code=1, env={"WORLD_SIZE": "2"}).err
    assert "which must be in one process" in said


def test_bad_records_can_be_left_out(memenc, folder_of, lines):
    rows = [*asked(2), {"id": "x", "document": "word1", "questions": "?"}]
    path = lines(rows)
    done = memenc("predict", "--model", folder_of("question-answering"), "--data", path, "--on-bad-record", "skip")
    assert len(done.lines) == 4 and "line 3: questions must be a list" in done.err


def test_a_question_that_is_too_long_is_left_out_where_that_was_asked_for(memenc, folder_of, lines, tmp_path):
    folder, rows = folder_of("question-answering"), asked(4, seed=3)
    rows[1]["questions"][0]["question"] = "report " * 60
    path = lines(rows)
    assert "line 2" in memenc("predict", "--model", folder, "--data", path, code=1).err
    for command in ("predict", "evaluate"):
        done = memenc(
            command, "--model", folder, "--data", path, "--on-bad-record", "skip", "--output", tmp_path / "x.json"
        )
        assert "left out" in done.err and "line 2" in done.err
    (scores,) = json.loads((tmp_path / "x.json").read_text())["records"]
    assert scores["documents"] == 3 and scores["questions"] == 6


def test_pairs_that_are_too_few_to_choose_an_epoch_by_are_said_to_be(memenc, backbone, lines, tmp_path):
    task = ["--task", "embedding", "--backbone", backbone, "--output", tmp_path / "out", *SMALL, *FAST]
    said = " ".join(memenc("train", "--train", lines(paired(12)), *task).err.split())
    assert "1 examples are too few to choose the epoch by mean_reciprocal_rank" in said
