"""The question answerer: the same answers as `memenc predict`, states saved and resumed, documents read once."""

import json
import re
from itertools import pairwise

import pytest
import torch
from typer.testing import CliRunner

from memenc import (
    MemencForMultipleChoice,
    MemencForQuestionAnswering,
    MemencForSequenceClassification,
    QuestionAnswerer,
    answering,
)
from memenc.cli.main import app
from memenc.data.labels import SINGLE, Labels
from memenc.data.records import Record
from memenc.saved import find_tokenizer
from memenc.trained import Trained, save_trained
from memenc.training.tasks import TaskOptions
from memenc.training.tasks.multiple_choice import MultipleChoice
from memenc.training.tasks.question_answering import LabelQuestions, SpanQuestions
from memenc.training.tasks.sequence_classification import SequenceClassification
from tests.cli.documents import write_lines
from tests.data.tiny_tokenizers import tiny_tokenizer
from tests.memory.checks import enliven
from tests.tiny import TINY_MEMORY, TINY_MODEL, WORDS, save_tiny_backbone

DOCUMENT = "  ".join(WORDS) + "\n\n" + " ".join(reversed(WORDS))
QUESTION = "report word3"
OPTIONS = ["word1", "word2 word3", "word4"]


def untrained(kind, task, folder, **options):
    """A folder as `memenc train` writes it, of a model whose parameters are all random."""
    name = save_tiny_backbone(folder / "backbone")
    tokenizer = find_tokenizer(name)
    model = kind.from_backbone(name, memory_options=TINY_MEMORY, **TINY_MODEL, **task.model_options(), **options)
    enliven(model)
    save_trained(folder / "model", Trained(model, tokenizer, task), {})
    return folder / "model"


@pytest.fixture
def spans(tmp_path):
    # Longer than a segment's own tokens, and so short that four of them do not cover the document.
    return untrained(MemencForQuestionAnswering, SpanQuestions(TaskOptions(max_answer_tokens=15)), tmp_path)


@pytest.fixture
def labels(tmp_path):
    task = LabelQuestions(TaskOptions(question_position="last"), ("high", "low", "no answer"))
    return untrained(MemencForQuestionAnswering, task, tmp_path)


@pytest.fixture
def choices(tmp_path):
    return untrained(MemencForMultipleChoice, MultipleChoice(), tmp_path)


def predicted(folder, tmp_path, *arguments, **more):
    row = {"document": DOCUMENT, "questions": [{"id": "a", "question": QUESTION, **more}]}
    path = write_lines(tmp_path / "asked.jsonl", [row])
    command = ["predict", "--model", str(folder), "--data", str(path), "--device", "cpu", *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_spans_are_those_of_predict_and_characters_of_the_document(spans, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "TOKENS_PER_CALL", 30)
    reader = QuestionAnswerer(spans)
    reader.read(DOCUMENT)
    found, wanted = reader.ask(QUESTION), predicted(spans, tmp_path)
    assert (found.text, found.start, found.end, found.segment) == tuple(
        wanted[name] for name in ("answer", "start", "end", "segment")
    )
    assert found.score == pytest.approx(wanted["score"], abs=1e-4)
    if found.text:
        assert DOCUMENT[found.start : found.end] == found.text


def test_labels_are_those_of_predict(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "TOKENS_PER_CALL", 33)
    reader = QuestionAnswerer(labels)
    reader.read(DOCUMENT)
    found, wanted = reader.ask(QUESTION), predicted(labels, tmp_path)
    assert found.text == wanted["answer"] and found.score == pytest.approx(wanted["score"], abs=1e-4)
    assert found.segment == wanted["segment"] and len(found.evidence) == -(-80 // 14)


def test_options_are_those_of_predict(choices, tmp_path):
    reader = QuestionAnswerer(choices)
    reader.read(DOCUMENT)
    found, wanted = reader.ask(QUESTION, OPTIONS), predicted(choices, tmp_path, options=OPTIONS)
    assert found.text == wanted["answer"]
    assert found.score == pytest.approx(wanted["probabilities"][wanted["option"]], abs=1e-4)


def test_further_spans_are_those_of_predict_and_stand_apart(spans, tmp_path):
    reader = QuestionAnswerer(spans)
    reader.read(DOCUMENT)
    found, wanted = reader.ask(QUESTION, answers=5), predicted(spans, tmp_path, "--answers", "5")
    assert found[0] == reader.ask(QUESTION) and len(found) == 5
    assert [(each.text, each.start, each.end, each.segment) for each in found] == [
        tuple(each[name] for name in ("answer", "start", "end", "segment")) for each in (wanted, *wanted["further"])
    ]
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    said = sorted((each.start, each.end) for each in found if each.text)
    assert all(DOCUMENT[each.start : each.end] == each.text for each in found if each.text)
    assert all(end <= start for (_, end), (start, _) in pairwise(said))


def test_further_labels_are_the_next(labels, tmp_path):
    reader = QuestionAnswerer(labels)
    reader.read(DOCUMENT)
    found, wanted = reader.ask(QUESTION, answers=7), predicted(labels, tmp_path, "--answers", "7")
    assert found[0] == reader.ask(QUESTION) and {each.text for each in found} == {"high", "low", "no answer"}
    assert [each.text for each in found] == [each["answer"] for each in (wanted, *wanted["further"])]
    assert sum(each.score for each in found) == pytest.approx(1)


def test_further_options_are_the_next(choices, tmp_path):
    reader = QuestionAnswerer(choices)
    reader.read(DOCUMENT)
    (found,) = reader.ask_all([QUESTION], OPTIONS, answers=2)
    wanted = predicted(choices, tmp_path, "--answers", "2", options=OPTIONS)
    order = sorted(range(3), key=lambda option: -wanted["probabilities"][option])
    assert [each.text for each in found] == [OPTIONS[option] for option in order[:2]]
    assert [wanted["option"], *(each["option"] for each in wanted["further"])] == order[:2]
    assert [each.score for each in found] == pytest.approx(
        [wanted["probabilities"][option] for option in order[:2]], abs=1e-4
    )


@pytest.mark.parametrize("answers", (0, -1, 2.0, True, "3"))
def test_numbers_of_answers_that_are_none_are_refused(spans, answers):
    reader = QuestionAnswerer(spans)
    reader.read(DOCUMENT)
    with pytest.raises(ValueError, match=re.escape(f"answers={answers!r}: give a whole number of at least 1")):
        reader.ask(QUESTION, answers=answers)


@pytest.mark.parametrize("kind", ("spans", "labels", "choices"))
def test_what_was_read_is_saved_and_resumed(kind, request, tmp_path):
    folder, options = request.getfixturevalue(kind), OPTIONS if kind == "choices" else None
    reader, again = QuestionAnswerer(folder), QuestionAnswerer(folder)
    reader.read(DOCUMENT[:200])
    reader.save(tmp_path / "kept")
    again.load(tmp_path / "kept")
    assert again.ask(QUESTION, options) == reader.ask(QUESTION, options)
    for each in (reader, again):
        each.read(DOCUMENT[200:], more=True)
    assert again.ask(QUESTION, options) == reader.ask(QUESTION, options)
    reader.read(DOCUMENT)
    whole = reader.ask(QUESTION, options)
    if kind == "spans":
        assert whole == again.ask(QUESTION)


def test_a_document_is_read_once_for_any_number_of_questions(labels):
    reader, read = QuestionAnswerer(labels), []
    reader.read(DOCUMENT)
    model = reader._fresh.trained.model
    model.memenc.register_forward_hook(lambda *arguments: read.append(1))
    questions = [f"report {word}" for word in WORDS]
    together = reader.ask_all(questions)
    assert not read and len(together) == len(questions)
    alone = [reader.ask(question) for question in questions[:3]]
    for one, other in zip(alone, together, strict=False):
        assert one.text == other.text and one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize("kind", ("spans", "labels"))
def test_an_empty_document_has_an_answer_too(kind, request):
    reader = QuestionAnswerer(request.getfixturevalue(kind))
    reader.read("")
    assert 0 <= reader.ask(QUESTION).score <= 1
    assert len(reader.ask(QUESTION, answers=3)) == (1 if kind == "spans" else 3)


def test_what_makes_no_sense_is_refused(spans, tmp_path):
    reader = QuestionAnswerer(spans)
    with pytest.raises(ValueError, match="nothing was read"):
        reader.ask(QUESTION)
    reader.read(DOCUMENT)
    with pytest.raises(ValueError, match="takes no options"):
        reader.ask(QUESTION, OPTIONS)
    with pytest.raises(ValueError, match=r"question 'word1 word1.* has 30 tokens, but a segment has room for 12"):
        reader.ask_all([QUESTION, "word1 " * 30])
    with pytest.raises(ValueError, match="read needs one document, a text; received NoneType"):
        reader.read(None)
    with pytest.raises(ValueError, match="received one text"):
        reader.ask_all(QUESTION)
    with pytest.raises(ValueError, match="not empty"):
        reader.ask(" ")
    with pytest.raises(ValueError, match="holds no memenc_estimator"):
        QuestionAnswerer(tmp_path)


def test_options_that_are_none_are_refused(choices):
    reader = QuestionAnswerer(choices)
    reader.read(DOCUMENT)
    with pytest.raises(ValueError, match="received one text: 'ab'"):
        reader.ask(QUESTION, "ab")
    with pytest.raises(ValueError, match=r"received \['x', 'y'\]"):
        reader.ask_all([QUESTION, QUESTION], [["x", "y"], ["z", "w"]])
    with pytest.raises(ValueError, match="keeps something, received ' '"):
        reader.ask(QUESTION, ["word1", " "])
    with pytest.raises(ValueError, match=r"question 'word1 word1.* has 30 tokens, but a segment has room for 12"):
        reader.ask("word1 " * 30, OPTIONS)


def test_options_of_which_the_tokenizer_keeps_nothing_are_refused():
    questions = [{"question": "word1", "options": ["word2", "\u200b"], "answer": 1}]
    record = Record(DOCUMENT, questions, line=7)
    with pytest.raises(ValueError, match=r"a\.jsonl, line 7: question 'word1': the tokenizer keeps nothing of its"):
        MultipleChoice().items(record, "a.jsonl", tiny_tokenizer("wordpiece"), labelled=True)


def test_a_state_of_other_weights_is_refused(labels, tmp_path):
    choices = untrained(MemencForMultipleChoice, MultipleChoice(), tmp_path / "choices")
    spans = untrained(MemencForQuestionAnswering, SpanQuestions(TaskOptions()), tmp_path / "spans")
    reader = QuestionAnswerer(labels)
    reader.read(DOCUMENT)
    reader.save(tmp_path / "kept")
    other = QuestionAnswerer(labels)
    with torch.no_grad():
        next(iter(other._fresh.trained.model.answers.parameters())).add_(0.1)
    for reader in (other, QuestionAnswerer(choices)):
        with pytest.raises(ValueError, match="written by another model"):
            reader.load(tmp_path / "kept")
    with pytest.raises(ValueError, match="a model of another kind"):
        QuestionAnswerer(spans).load(tmp_path / "kept")


def test_a_state_of_another_model_is_refused(labels, tmp_path):
    reader = QuestionAnswerer(labels)
    reader.read(DOCUMENT)
    reader.save(tmp_path / "kept")
    settings = json.loads((labels / "config.json").read_text())
    (labels / "config.json").write_text(json.dumps(settings | {"document_temperature": "hard"}))
    (labels / "checksums.json").unlink()
    other = QuestionAnswerer(labels)
    with pytest.raises(ValueError, match="another model"):
        other.load(tmp_path / "kept")


@pytest.mark.parametrize("kind", ("spans", "labels"))
def test_a_damaged_reading_is_refused(kind, request, tmp_path):
    reader = QuestionAnswerer(request.getfixturevalue(kind))
    reader.read(DOCUMENT)
    reader.save(tmp_path / "kept")
    for file in (tmp_path / "kept").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match="damaged"):
            reader.load(tmp_path / "kept")
        file.write_bytes(content)
    reader.load(tmp_path / "kept")
    assert reader.ask(QUESTION).text is not None


def test_a_classifier_answers_no_questions(tmp_path):
    task = SequenceClassification(Labels.infer(["high", "low"], SINGLE))
    folder = untrained(MemencForSequenceClassification, task, tmp_path)
    with pytest.raises(ValueError, match="holds a model for sequence-classification, not for questions; use memenc"):
        QuestionAnswerer(folder)


def test_a_damaged_folder_is_named(labels):
    kept = json.loads((labels / "memenc_estimator.json").read_text())
    (labels / "memenc_estimator.json").write_text(json.dumps(kept | {"names": 3}))
    (labels / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"memenc_estimator.json is damaged"):
        QuestionAnswerer(labels)


def test_torch_keeps_no_graph(labels):
    reader = QuestionAnswerer(labels)
    reader.read(DOCUMENT)
    assert torch.is_grad_enabled() and not reader._answering.kept.segments.requires_grad
