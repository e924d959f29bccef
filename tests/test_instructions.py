"""An instruction before the own tokens of every segment, without being told: what a question there does, and saved."""

import pytest
import torch

from memenc import LongDocumentClassifier, MemencForQuestionAnswering, MemencModel
from memenc.diagnostics.attribution import explain
from memenc.diagnostics.knockout import whole_segments
from tests.backbones import SEGMENT
from tests.memory.checks import (
    CAPACITY,
    EXACT,
    assert_close,
    assert_states_close,
    build,
    check_schedules_agree,
    cut_at_random,
    documents_of,
    ragged,
    tokens,
)
from tests.memory.designs import FEW_DESIGNS
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents


def instructed(design, count=3, **options):
    """A model with an instruction of so many tokens."""
    return build(design, dtype=torch.float64, instruction=tokens(count).tolist(), **options)


def same(left, right):
    assert left.tensors.keys() == right.tensors.keys()
    return all(torch.equal(tensor, right.tensors[name]) for name, tensor in left.tensors.items())


@pytest.mark.parametrize("design", ("none", *FEW_DESIGNS))
@torch.no_grad()
def test_it_reads_as_the_same_text_asked_as_a_question(design, tmp_path):
    model, (ids, mask) = instructed(design), ragged(documents_of(3 * CAPACITY + 2, 0, 5), pad="interior")
    instruction, asked = model.config.instruction, torch.tensor([model.config.instruction]).expand(3, -1)
    found = model(ids, mask)
    assert model.own_tokens_per_segment == CAPACITY - 1 - len(instruction)
    model.save_pretrained(tmp_path)
    again = MemencModel.from_pretrained(tmp_path)(ids, mask)
    assert same(again.memory, found.memory) and again.memory.fingerprint == found.memory.fingerprint
    model.instruct(None)
    question = model(ids, mask, question_ids=asked)
    assert same(question.memory, found.memory) and torch.equal(question.last_hidden_state, found.last_hidden_state)
    assert question.memory.fingerprint != found.memory.fingerprint
    assert same(model(ids, mask, instruction_ids=asked).memory, found.memory)
    assert (model(ids, mask).pooler_output[0] - found.pooler_output[0]).abs().max() > 1e-4


@torch.no_grad()
def test_it_stands_before_a_question():
    model, ids, asked = instructed("windowed_one_segment"), tokens(2, 40), tokens(2, 4)
    found = model(ids, question_ids=asked)
    both = torch.cat([torch.tensor([model.config.instruction] * 2), asked], dim=1)
    other = model(ids, question_ids=asked, instruction_ids=both[:, :2], instruction_mask=torch.ones(2, 2))
    model.instruct(None)
    assert same(model(ids, question_ids=both).memory, found.memory)
    assert same(model(ids, question_ids=both[:, [0, 1, 3, 4, 5, 6]]).memory, other.memory)
    with pytest.raises(ValueError, match="1 instructions for 2 questions"):
        model(ids, question_ids=asked, instruction_ids=both[:1])


@pytest.mark.parametrize("design", FEW_DESIGNS)
@torch.no_grad()
def test_pieces_equal_the_whole(design):
    model, documents = instructed(design, segments_per_call=2), documents_of(4 * CAPACITY + 5, CAPACITY)
    whole, memory = model(*ragged(documents)), None
    for pieces in zip(*(cut_at_random(document, 6) for document in documents), strict=True):
        output = model(*ragged(list(pieces)), memory=memory)
        memory = output.memory
    assert memory.tokens_seen.tolist() == [len(document) for document in documents]
    assert_states_close(memory, whole.memory, 1e-12)
    assert_close(output.pooler_output, whole.pooler_output, 1e-12, "pooler_output")


def test_schedules_agree():
    ids, mask = ragged(documents_of(4 * CAPACITY + 3, CAPACITY, 0))
    check_schedules_agree(instructed("compressive_mean"), ids, mask, EXACT[torch.float64])


def test_one_without_room_for_the_document_is_refused():
    most = SEGMENT - 2 - 1 - 1
    model = instructed("none", most)
    assert model(tokens(1, 5)).memory.tokens_seen.tolist() == [5]
    message = f"the instruction has {most + 1} tokens.*room for {most}"
    with pytest.raises(ValueError, match=message):
        instructed("none", most + 1)
    with pytest.raises(ValueError, match=message):
        model.instruct(tokens(most + 1))
    assert len(model.config.instruction) == most
    with pytest.raises(ValueError, match=f"question 0 of the batch has {most + 1} tokens.*its instruction, which"):
        model(tokens(1, 5), question_ids=tokens(1, 1))
    for wrong in ([], "text", [1.5]):
        with pytest.raises(ValueError, match="instruction="):
            build("none", instruction=wrong)


@torch.no_grad()
def test_documents_that_were_read_once_count_its_segments():
    """Segments by which evidence is ranked are those with an instruction in them."""
    options = {"model_class": MemencForQuestionAnswering, "question_position": "last", "num_labels": 2}
    model, ids = instructed("windowed_one_segment", 4, **options), tokens(1, 50)
    own = model.memenc.own_tokens_per_segment
    read = model.read(ids)
    assert own == CAPACITY - 5 and int(read.counts) == -(-50 // own) == read.segments.shape[1]
    pieces = model.read(ids[:, 17:], before=model.read(ids[:, :17]))
    assert_close(pieces.segments, read.segments, 1e-12, "segments")
    assert torch.equal(whole_segments(model.memenc, ids, None).flatten(), ids[0, : 50 // own * own])


def test_a_classifier_keeps_its_text(tmp_path):
    backbone = save_tiny_backbone(tmp_path / "backbone")
    texts, labels = tiny_documents(12, (5, 40), seed=1)
    options = TINY_MODEL | {"instruction": "report word1"}
    settings = TINY_TRAINING | {"epochs": 1}
    classifier = LongDocumentClassifier(backbone, "compressive", TINY_MEMORY, options, settings, False, 0)
    classifier.fit(texts, labels).save_pretrained(tmp_path / "saved")
    again = LongDocumentClassifier.from_pretrained(tmp_path / "saved")
    assert again.model_options["instruction"] == "report word1" and again.model_.config.instruction == [6, 8]
    assert (again.predict_proba(texts) == classifier.predict_proba(texts)).all()
    # Streamed, whole segments first, a text is read as in one go.
    own = again.model_.memenc.own_tokens_per_segment
    ids = again.tokenizer_(texts[0], return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        wanted = again.model_.memenc(ids).pooler_output
    assert own == 11
    assert_close(again.model_.memenc.encode(texts[:1], again.tokenizer_), wanted, 1e-5, "encode")
    assert len(explain(again.model_, again.tokenizer_, texts[0]).evidence) == -(-ids.shape[1] // own)
