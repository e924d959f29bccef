"""The question answering head: spans with the question in every segment, labels with the question last."""

import pytest
import torch

from memenc import MemencForQuestionAnswering
from memenc.tasks.spans import NO_ANSWER, SpanLogits, span_loss
from tests.memory.checks import CAPACITY, assert_close, assert_states_close, build, documents_of, ragged, tokens
from tests.memory.designs import FEW_DESIGNS

LABELS = 3


def reader(design="windowed_one_segment", position="every_segment", dtype=torch.float64, **options):
    options = {"num_labels": LABELS, **options}
    return build(design, dtype=dtype, model_class=MemencForQuestionAnswering, question_position=position, **options)


def batch(*lengths, asked=(4, 2)):
    ids, mask = ragged(documents_of(*lengths))
    question_ids, question_mask = ragged(documents_of(*asked))
    return {"input_ids": ids, "attention_mask": mask, "question_ids": question_ids, "question_mask": question_mask}


def test_every_token_of_every_segment_has_logits():
    model, inputs = reader(), batch(4 * CAPACITY + 3, 5)
    output = model(**inputs)
    assert output.loss is None and output.start_logits.shape == output.end_logits.shape == inputs["input_ids"].shape
    states = model.memenc(**inputs).last_hidden_state
    wanted = states @ model.answers.span.weight.T + model.answers.span.bias
    valid = inputs["attention_mask"].bool()
    assert_close(output.start_logits[valid], wanted[..., 0][valid], 1e-12, "start logits")
    assert_close(output.end_logits[valid], wanted[..., 1][valid], 1e-12, "end logits")
    assert (output.start_logits[~valid] == torch.finfo(torch.float64).min).all()
    assert output.memory.tokens_seen.tolist() == [4 * CAPACITY + 3, 5]


def test_the_loss_is_that_of_spans_and_moves_memory_and_no_answer():
    model, inputs = reader(classifier_dropout=0.0).train(), batch(3 * CAPACITY, 20)
    starts, ends = torch.tensor([[30, 2], [NO_ANSWER, -100]]), torch.tensor([[33, 2], [NO_ANSWER, -100]])
    output = model(**inputs, start_positions=starts, end_positions=ends)
    logits = SpanLogits(output.start_logits, output.end_logits, output.no_answer_logits)
    assert torch.equal(output.loss, span_loss(logits, starts, ends, inputs["attention_mask"].bool()))
    output.loss.backward()
    for parameter in (
        model.answers.none.weight,
        model.memenc.encoder.memories[0].window_bias,
        model.memenc.readout.query,
    ):
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("design", FEW_DESIGNS)
def test_schedules_agree(design):
    model, inputs = reader(design), batch(5 * CAPACITY + 3, 2 * CAPACITY)
    target = {"start_positions": torch.tensor([40, 1]), "end_positions": torch.tensor([41, 9])}
    found = []
    for per_call in (1, 2, 100):
        model.config.segments_per_call = per_call
        model.zero_grad()
        output = model(**inputs, **target)
        output.loss.backward()
        found.append((output, model.answers.span.weight.grad))
    for output, gradient in found[1:]:
        assert_close(output.start_logits, found[0][0].start_logits, 1e-12, "start logits")
        assert_close(output.no_answer_logits, found[0][0].no_answer_logits, 1e-12, "no answer")
        assert_close(gradient, found[0][1], 1e-11, "gradient")


@torch.no_grad()
def test_pieces_of_whole_segments_give_the_logits_of_the_whole():
    model, inputs = reader("compressive_mean"), batch(70, 70, asked=(3, 3))
    whole = model(**inputs)
    memory, starts = None, []
    room = CAPACITY - 4
    for piece in inputs["input_ids"].split(2 * room, 1):
        output = model(piece, question_ids=inputs["question_ids"], memory=memory)
        memory = output.memory
        starts.append(output.start_logits)
    assert_close(torch.cat(starts, 1), whole.start_logits, 1e-12, "start logits")
    assert_close(output.no_answer_logits, whole.no_answer_logits, 1e-12, "no answer")
    assert_states_close(memory, whole.memory, 1e-12)


@torch.no_grad()
@pytest.mark.parametrize("position", ("every_segment", "last"))
def test_several_questions_about_one_document(position):
    model, inputs = reader(position=position), batch(40, 25, asked=(4, 2, 3))
    rows = torch.tensor([1, 0, 1])
    together = model(**inputs, question_documents=rows)
    for question, document in enumerate(rows.tolist()):
        alone = model(
            inputs["input_ids"][document : document + 1],
            inputs["attention_mask"][document : document + 1],
            inputs["question_ids"][question : question + 1],
            inputs["question_mask"][question : question + 1],
        )
        name = "start_logits" if position == "every_segment" else "logits"
        assert_close(together[name][question : question + 1], alone[name], 1e-12, name)


@torch.no_grad()
def test_a_document_is_read_once_and_asked_often():
    model, inputs = reader(position="last"), batch(4 * CAPACITY + 5, 3, asked=(4, 2, 7))
    rows = [0, 0, 1]
    whole = model(**inputs, question_documents=torch.tensor(rows))
    read = model.read(inputs["input_ids"], inputs["attention_mask"])
    found = model.ask(read.select(rows), inputs["question_ids"], inputs["question_mask"])
    assert torch.equal(found.logits, whole.logits) and found.logits.shape == (3, LABELS)
    assert torch.equal(found.evidence, whole.evidence) and found.evidence.shape == (3, 5)
    assert_close(found.evidence.sum(1), torch.ones(3, dtype=torch.float64), 1e-12, "evidence")
    assert not found.evidence[2, 1:].any(), "a document of one segment has evidence there only"


@torch.no_grad()
def test_reading_on_then_asking_equals_reading_at_once():
    model, ids, asked = reader("compressive_mean", "last"), tokens(2, 75), tokens(2, 4)
    wanted = model(ids, question_ids=asked)
    read = None
    for piece in ids.split([5, 30, 1, 39], 1):
        read = model.read(piece, before=read)
    found = model.ask(read, asked)
    assert read.counts.tolist() == [6, 6] and read.segments.shape[1] == 6
    assert_close(found.logits, wanted.logits, 1e-12, "logits")
    assert_close(found.evidence, wanted.evidence, 1e-12, "evidence")


@pytest.mark.parametrize("design", ("none", "windowed_one_segment", "linear_delta", "gated_ema"))
def test_answers_with_the_question_last_depend_on_all_that_was_read(design):
    model = reader(design, "last")
    embeddings = model.memenc.backbone.embeddings.word_embeddings
    ids, asked = tokens(1, 3 * CAPACITY + 4), tokens(1, 3)
    gradient = torch.autograd.grad(model(ids, question_ids=asked).logits.sum(), embeddings.weight)[0]
    assert all(gradient[token].abs().max() > 0 for token in ids[0].unique())


def test_evidence_learns_from_where_answers_start():
    model, inputs = reader(position="last").train(), batch(40, 25)
    rows = {"labels": torch.tensor([1, 2])}
    plain = model.eval()(**inputs, **rows)
    starts = torch.tensor([[20, -100], [-1, -100]])
    guided = model(**inputs, **rows, start_positions=starts)
    # A mean over both questions, of which one names evidence.
    extra = -plain.evidence[0, 20 // CAPACITY].log() / 2
    assert_close(guided.loss, plain.loss + extra, 1e-9, "loss")
    # A stretch that ends in the next segment has evidence in both.
    ends = torch.tensor([[20 + CAPACITY, -100], [-1, -100]])
    wider = model(**inputs, **rows, start_positions=starts, end_positions=ends)
    extra = -plain.evidence[0, 20 // CAPACITY :][:2].sum().log() / 2
    assert_close(wider.loss, plain.loss + extra, 1e-9, "loss")


def test_an_empty_document_is_answered():
    for position, name in (("every_segment", "no_answer_logits"), ("last", "logits")):
        model, inputs = reader(position=position), batch(0, 40)
        assert model(**inputs)[name].isfinite().all()


def test_a_document_shorter_than_its_question():
    model, inputs = reader(), batch(2, 3, asked=(9, 8))
    output = model(**inputs, start_positions=torch.tensor([1, 0]), end_positions=torch.tensor([1, 2]))
    assert output.loss.isfinite() and output.start_logits.shape == (2, 3)


def test_what_does_not_fit_is_refused():
    inputs = batch(20, 20)
    every, last = reader(), reader(position="last")
    with pytest.raises(ValueError, match="labels answer questions with question_position"):
        every(**inputs, labels=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match='question_position="last" to ask'):
        every.ask(every.read(inputs["input_ids"]), inputs["question_ids"])
    with pytest.raises(ValueError, match="here use read and ask"):
        last(**inputs, memory=last.memenc.initial_memory(2))
    with pytest.raises(ValueError, match=f"question 0 of the batch has {CAPACITY + 1} tokens"):
        last(inputs["input_ids"], question_ids=tokens(2, CAPACITY + 1))
    with pytest.raises(ValueError, match="question_ids are missing"):
        last(inputs["input_ids"])
    with pytest.raises(ValueError, match="3 questions for 2 documents"):
        last(inputs["input_ids"], question_ids=tokens(3, 2))
    with pytest.raises(ValueError, match="are rows of 2 documents"):
        last(**inputs, question_documents=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="takes no span"):
        last(**inputs, span=torch.zeros(1))
    with pytest.raises(ValueError, match="go together"):
        every(**inputs, start_positions=torch.tensor([0, 1]))
    labels, starts = torch.tensor([0, 1]), torch.tensor([[3], [4]])
    with pytest.raises(ValueError, match="evidence beside labels"):
        last(**inputs, start_positions=starts)
    with pytest.raises(ValueError, match="evidence 0 of question 1 spans the tokens 4 to 3000, but its document has 2"):
        last(**inputs, labels=labels, start_positions=starts, end_positions=torch.tensor([[3], [3000]]))
    with pytest.raises(ValueError, match="evidence 0 of question 0 spans the tokens 3 to 2"):
        last(**inputs, labels=labels, start_positions=starts, end_positions=torch.tensor([[2], [4]]))
    with pytest.raises(ValueError, match="must be alike"):
        last(**inputs, labels=labels, start_positions=starts, end_positions=torch.tensor([[3, 4], [4, 4]]))
    with pytest.raises(ValueError, match="question_position='middle'"):
        reader(position="middle")


@pytest.mark.parametrize("position", ("every_segment", "last"))
@torch.no_grad()
def test_saved_and_loaded(position, tmp_path):
    model, inputs = reader(position=position, dtype=torch.float32), batch(40, 25)
    model.save_pretrained(tmp_path)
    again = MemencForQuestionAnswering.from_pretrained(tmp_path)
    name = "start_logits" if position == "every_segment" else "logits"
    assert torch.equal(again(**inputs)[name], model(**inputs)[name])


def losses_of_training(position, design, steps=60):
    """A span that the question names, at any place; or, question last, a label that only the first segment tells."""
    torch.manual_seed(3)
    options = {"lively": False, "classifier_dropout": 0.0, "num_labels": 2}
    model = reader(design, position, torch.float32, **options).train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(steps):
        ids = torch.randint(20, 40, (16, 2 * CAPACITY))
        asked = torch.randint(5, 9, (16, 1))
        if position == "every_segment":
            places = torch.randint(2 * CAPACITY, (16,))
            ids[torch.arange(16), places] = asked[:, 0]
            target = {"start_positions": places, "end_positions": places}
        else:
            labels = torch.randint(2, (16,))
            ids[:, :CAPACITY] = torch.where(labels == 1, 10, 11)[:, None]
            target = {"labels": labels}
        loss = model(ids, question_ids=asked, **target).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("position", ("every_segment", "last"))
def test_a_few_steps_learn_to_find(position):
    losses = losses_of_training(position, "windowed_above_segment")
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0], f"losses {losses[::10]}"
