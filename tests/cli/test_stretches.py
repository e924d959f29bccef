"""A curriculum over segments: what it cuts of documents with answers and labels, and what it refuses to cut."""

import json
import math
import random

import numpy as np
import pytest

from memenc.training.tasks.base import TaskOptions
from memenc.training.tasks.question_answering import SpanQuestions
from memenc.training.tasks.token_classification import TokenClassification
from tests.cli.documents import FAST, SMALL
from tests.cli.task_records import chosen
from tests.cli.test_tasks import KINDS


@pytest.mark.parametrize("kind", ("question-answering", "token-classification"))
def test_a_curriculum_trains_on_stretches(memenc, backbone, lines, tmp_path, kind):
    rows, options = KINDS[kind]
    common = ["--train", lines(rows(10)), "--backbone", backbone, "--output", tmp_path / "out", "--task", kind]
    memenc("train", *common, *options, *SMALL, *FAST, "--segment-curriculum", "1,2")
    records = json.loads((tmp_path / "out" / "results.json").read_text())["records"]
    (loss,) = [record["train_loss"] for record in records if "train_loss" in record]
    assert math.isfinite(loss) and loss > 0


def test_answers_and_labels_move_with_their_stretch():
    ids, start, end = np.arange(40), random.randint(0, 20), random.randint(21, 40)
    spans = [(first, first + random.randint(0, 4)) for first in range(0, 36, 3)]
    item = {"input_ids": ids, "spans": spans, "firsts": ids[::2], "labels": ids[::2] + 100}
    answers = SpanQuestions(TaskOptions()).cut(item, start, end)
    found = [tuple(answers["input_ids"][[first, last]]) for first, last in answers["spans"]]
    assert found == [span for span in spans if start <= span[0] and span[1] < end]
    words = TokenClassification.cut(None, item, start, end)
    kept = words["input_ids"][words["firsts"]]
    assert kept.tolist() == [place for place in range(0, 40, 2) if start <= place < end]
    assert (words["labels"] == kept + 100).all()


def test_a_curriculum_cannot_cut_where_answers_come_from_anywhere(memenc, backbone, lines, tmp_path):
    common = ["--train", lines(chosen(10)), "--backbone", backbone, "--output", tmp_path / "out"]
    curriculum = ["--segment-curriculum", "1,2"]
    said = memenc("train", *common, "--task", "multiple-choice", *SMALL, *FAST, *curriculum, code=1).err
    assert "segment_curriculum and most_segments cannot cut" in said
