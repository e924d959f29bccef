"""The multiple choice head: options against documents read once."""

import pytest
import torch
from torch.nn import functional

from memenc import MemencForMultipleChoice
from tests.memory.checks import CAPACITY, assert_close, build, documents_of, ragged, tokens


def chooser(design="windowed_one_segment", dtype=torch.float64, **options):
    return build(design, dtype=dtype, model_class=MemencForMultipleChoice, **options)


def batch(lengths=(40, 25), asked=(4, 2), options=((3, 1, 5), (2, 2))):
    ids, mask = ragged(documents_of(*lengths))
    question_ids, question_mask = ragged(documents_of(*asked))
    most, longest = max(map(len, options)), max(max(each) for each in options)
    option_ids, option_mask = tokens(len(asked), most, longest), torch.zeros(len(asked), most, longest)
    for row, each in enumerate(options):
        for place, length in enumerate(each):
            option_mask[row, place, :length] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "question_ids": question_ids,
        "question_mask": question_mask,
        "option_ids": option_ids,
        "option_mask": option_mask,
    }


@torch.no_grad()
def test_every_option_is_scored_by_itself():
    model, inputs = chooser(), batch()
    output = model(**inputs)
    assert output.logits.shape == (2, 3) and output.evidence.shape == (2, 3, 3)
    assert output.logits[1, 2] == torch.finfo(torch.float64).min and not output.evidence[1, 2].any()
    for row, count in enumerate((3, 2)):
        logits = []
        for place in range(count):
            ids = inputs["option_ids"][row, place][inputs["option_mask"][row, place].bool()]
            asked = inputs["question_ids"][row][inputs["question_mask"][row].bool()]
            document = inputs["input_ids"][row][inputs["attention_mask"][row].bool()]
            alone = model(document[None], question_ids=asked[None], option_ids=ids[None, None])
            logits.append(alone.logits[0, 0])
        # One logit alone may be next to nothing.
        assert_close(output.logits[row, :count], torch.stack(logits), 1e-12, "logits")


@torch.no_grad()
def test_a_document_is_read_once_for_all_its_questions():
    model, inputs = chooser("compressive_mean"), batch(asked=(4, 2, 3), options=((3, 1), (2, 2), (1, 1)))
    rows = [1, 0, 1]
    calls = []
    handle = model.memenc.register_forward_hook(lambda *args: calls.append(1))
    whole = model(**inputs, question_documents=torch.tensor(rows))
    handle.remove()
    assert len(calls) == 1
    read = model.read(inputs["input_ids"], inputs["attention_mask"])
    names = ("question_ids", "question_mask", "option_ids", "option_mask")
    assert torch.equal(model.ask(read.select(rows), *(inputs[name] for name in names)).logits, whole.logits)


def test_loss_and_labels():
    model, inputs = chooser(classifier_dropout=0.0).train(), batch()
    labels = torch.tensor([2, 1])
    output = model(**inputs, labels=labels)
    assert_close(output.loss, functional.cross_entropy(output.logits, labels), 1e-12, "loss")
    output.loss.backward()
    for parameter in (model.score.weight, model.reading.evidence_query, model.memenc.encoder.memories[0].window_bias):
        assert parameter.grad.abs().max() > 0
    with pytest.raises(ValueError, match="question 1 has no option 2"):
        model(**inputs, labels=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="evidence beside labels"):
        model(**inputs, start_positions=torch.tensor([[3], [4]]))
    with pytest.raises(ValueError, match=r"option_mask \(2, 3\) must be like option_ids"):
        model(**inputs | {"option_mask": inputs["option_mask"][..., 0]})
    empty = inputs["option_mask"].clone()
    empty[1] = 0
    with pytest.raises(ValueError, match="question 1 has no option with a token"):
        model(**inputs | {"option_mask": empty})
    with pytest.raises(ValueError, match="labels run from 0 to 3, the head has 3"):
        model(**inputs, labels=torch.tensor([3, 0]))


def test_evidence_of_the_right_option_learns_where_it_stands():
    model, inputs = chooser().train(), batch()
    rows = {"labels": torch.tensor([2, 1])}
    plain = model.eval()(**inputs, **rows)
    starts, ends = torch.tensor([[3, CAPACITY], [-1, -100]]), torch.tensor([[5, CAPACITY + 1], [-1, -100]])
    guided = model(**inputs, **rows, start_positions=starts, end_positions=ends)
    assert_close(guided.loss, plain.loss - plain.evidence[0, 2, :2].sum().log() / 2, 1e-9, "loss")


def test_what_does_not_fit_is_refused():
    model, inputs = chooser(), batch()
    with pytest.raises(ValueError, match="must be \\(questions, options, tokens\\) for 2"):
        model(**inputs | {"option_ids": tokens(1, 3, 5)})
    with pytest.raises(ValueError, match="option_ids are missing"):
        model(inputs["input_ids"], question_ids=inputs["question_ids"])
    with pytest.raises(ValueError, match="room for"):
        model(**inputs | {"question_ids": tokens(2, CAPACITY), "question_mask": None})


@torch.no_grad()
def test_options_longer_than_a_segment_are_read_to_their_end():
    model, inputs = chooser(), batch(options=((3 * CAPACITY, 2), (2, 2)))
    inputs["option_ids"][0, 0, 3 * CAPACITY - 1] = 10
    logits = model(**inputs).logits
    inputs["option_ids"][0, 0, 3 * CAPACITY - 1] = 11
    assert (model(**inputs).logits[0, 0] - logits[0, 0]).abs() > 1e-9


@torch.no_grad()
def test_saved_and_loaded(tmp_path):
    model, inputs = chooser(dtype=torch.float32), batch()
    model.save_pretrained(tmp_path)
    again = MemencForMultipleChoice.from_pretrained(tmp_path)
    assert_close(again(**inputs).logits[0], model(**inputs).logits[0], 1e-6, "logits")
