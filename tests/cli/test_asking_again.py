"""Many questions about a document: it is read once; records with labels that were not trained can be left out."""

import pytest

from memenc.training.tasks import multiple_choice, question_answering
from tests.cli.documents import FAST, SMALL, reviews, write_lines
from tests.cli.task_records import asked, chosen

KINDS = {
    "question-answering, last": (lambda count, seed=0: asked(count, seed, True), ["--question-position", "last"]),
    "multiple-choice": (chosen, []),
}
MODULES = {"question-answering, last": question_answering, "multiple-choice": multiple_choice}


@pytest.fixture(scope="module")
def folders(memenc, backbone, tmp_path_factory):
    """A trained folder of each kind."""
    found = {}
    for kind, (records, more) in KINDS.items():
        folder = tmp_path_factory.mktemp("asked")
        path = write_lines(folder / "train.jsonl", records(12))
        given = ["--train", path, "--backbone", backbone, "--output", folder / "model", *more, *SMALL, *FAST]
        memenc("train", *given, "--task", kind.split(",")[0])
        found[kind] = folder / "model"
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_read_once_for_all_its_questions(memenc, folders, lines, monkeypatch, kind):
    records = KINDS[kind][0](3, seed=4)
    predict = ("predict", "--model", folders[kind], "--data", lines(records))
    together = memenc(*predict).lines
    head = MODULES[kind].LabelQuestions.head if kind != "multiple-choice" else MODULES[kind].MultipleChoice.head
    read, readings = head.read, []

    def counted(model, *arguments, **options):
        readings.append(arguments[0].shape)
        return read(model, *arguments, **options)

    monkeypatch.setattr(head, "read", counted)
    monkeypatch.setattr(MODULES[kind], "QUESTIONS_PER_READING", 1)
    one_by_one = memenc(*predict).lines
    # Two questions each, one at a time, and three readings.
    assert len(together) == len(one_by_one) == 6 and len(readings) == 3
    for left, right in zip(together, one_by_one, strict=True):
        assert left["answer"] == right["answer"] and left["id"] == right["id"]
        name = "score" if "score" in left else "probabilities"
        assert left[name] == pytest.approx(right[name], abs=1e-5)
    scores = memenc("evaluate", "--model", folders[kind], "--data", lines(records))
    assert "accuracy" in scores.out and len(readings) == 6


def test_an_answer_that_was_not_trained_can_be_left_out(memenc, folders, lines):
    records = KINDS["question-answering, last"][0](3, seed=4)
    records[1]["questions"][1]["answers"] = [{"text": "never heard of"}]
    evaluate = ("evaluate", "--model", folders["question-answering, last"], "--data", lines(records))
    said = memenc(*evaluate, code=1).err
    assert "line 2" in said and "'never heard of', which no training document has" in said
    done = memenc(*evaluate, "--on-bad-record", "skip")
    assert "never heard of" in done.err and "documents" in done.out


def test_a_label_that_was_not_trained_can_be_left_out(memenc, model, backbone, lines, tmp_path):
    path = lines([*reviews(4), {"text": "a", "label": "mixed"}, *reviews(2)])
    done = memenc("evaluate", "--model", model, "--data", path, "--on-bad-record", "skip")
    assert "line 5: unknown label 'mixed'" in done.err
    arguments = ["--train", lines(reviews(8), "train.jsonl"), "--validation", path, "--backbone", backbone]
    arguments += ["--output", tmp_path / "out", *SMALL, *FAST]
    assert "line 5: unknown label 'mixed'" in memenc("train", *arguments, code=1).err
    assert "line 5: unknown label 'mixed'" in memenc("train", *arguments, "--on-bad-record", "skip").err
