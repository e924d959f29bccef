"""A question before the document's own tokens in every segment: rows, places, types, room; and the invariants."""

import random

import pytest
import torch

from memenc.lead import Question, SpecialTokens
from memenc.segments import cut_into_segments
from tests.backbones import SEGMENT
from tests.memory.checks import (
    CAPACITY,
    EXACT,
    SPECIAL,
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
from tests.test_segments import nothing_pending

LENGTH = 12
SPECIALS = {
    "bert": SpecialTokens((1,), (2,), 0, (2,), 1),
    "roberta": SpecialTokens((1,), (2,), 0, (2, 2)),
    "bare": SpecialTokens(),
}


def questions_of(*lengths):
    ids, mask = ragged(documents_of(*lengths), pad="interior")
    return {"question_ids": ids, "question_mask": mask}


@pytest.mark.parametrize("name", SPECIALS)
def test_rows_are_pairs_of_question_and_stretch(name):
    special, documents = SPECIALS[name], documents_of(random.randrange(40), 0, 7, 23)
    asked = documents_of(3, 5, 0, 1)
    ids, mask = ragged(documents, pad="interior")
    question_ids, question_mask = ragged(asked, pad="interior")
    question = Question(question_ids, question_mask.bool())
    pending = nothing_pending(4, LENGTH - special.per_segment)
    segments = cut_into_segments(ids, mask.bool(), special, LENGTH, pending, question)
    for index, (document, words) in enumerate(zip(documents, asked, strict=True)):
        lead = [*special.prefix, *words.tolist(), *special.separator]
        room = LENGTH - len(lead) - len(special.suffix)
        assert segments.capacities[index] == room
        stretches = [document.tolist()[at : at + room] for at in range(0, len(document), room)]
        rows = [[*lead, *stretch, *special.suffix] for stretch in stretches]
        for number in range(segments.count):
            row = rows[number] if number < len(rows) else []
            found = segments.ids[index, number][segments.valid[index, number]].tolist()
            assert found == row
            if row and segments.types is not None:
                types = segments.types[index, number][: len(row)].tolist()
                assert types == [0] * len(lead) + [1] * (len(row) - len(lead))
        flat = segments.ids[index].flatten()
        assert torch.equal(flat[segments.row_index[index][mask[index].bool()]], document)
        assert int(segments.pending.length[index]) == len(document) % room
    assert (segments.types is None) == (special.own_type == 0)


def test_a_question_longer_than_its_room_is_refused_with_its_place():
    model = build("windowed_one_segment")
    most = SEGMENT - 2 - 1 - 1
    assert model(tokens(2, 5), **questions_of(1, most)).memory.tokens_seen.tolist() == [5, 5]
    with pytest.raises(ValueError, match=f"question 1 of the batch has {most + 1} tokens.*room for {most}"):
        model(tokens(2, 5), **questions_of(1, most + 1))
    with pytest.raises(ValueError, match="1 questions for 2 documents"):
        model(tokens(2, 5), **questions_of(1))
    with pytest.raises(ValueError, match="question_mask"):
        model(tokens(1, 5), question_ids=tokens(1, 3), question_mask=torch.ones(1, 2))
    with pytest.raises(ValueError, match="question_ids must be whole numbers"):
        model(tokens(1, 5), question_ids=torch.rand(1, 3))


class Asked:
    """A model that is always asked the same questions, for checks that know of none."""

    def __init__(self, model, questions):
        self.model, self.questions = model, questions

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, ids, mask=None, **arguments):
        return self.model(ids, mask, **self.questions, **arguments)


@pytest.mark.parametrize("design", ("none", *FEW_DESIGNS))
def test_schedules_agree(design):
    model = Asked(build(design, dtype=torch.float64), questions_of(4, 0, 9, 1))
    ids, mask = ragged(documents_of(5 * CAPACITY + 3, CAPACITY, 0, 2 * CAPACITY - 1))
    check_schedules_agree(model, ids, mask, EXACT[torch.float64])


@pytest.mark.parametrize("design", FEW_DESIGNS)
@torch.no_grad()
def test_pieces_equal_the_whole(design):
    model = Asked(build(design, dtype=torch.float64, segments_per_call=2), questions_of(4, 2))
    documents = documents_of(4 * CAPACITY + 5, CAPACITY)
    whole = model(*ragged(documents))
    memory = None
    for pieces in zip(*(cut_at_random(document, 6) for document in documents), strict=True):
        output = model(*ragged(list(pieces)), memory=memory)
        memory = output.memory
    assert memory.tokens_seen.tolist() == [len(document) for document in documents]
    assert_states_close(memory, whole.memory, 1e-12)
    assert_close(output.pooler_output, whole.pooler_output, 1e-12, "pooler_output")


@torch.no_grad()
def test_neighbours_and_their_questions_change_nothing():
    model, document = build("compressive_mean", dtype=torch.float64), tokens(3 * CAPACITY + 2)
    ids, mask = ragged([document, tokens(50)])
    question = tokens(4)
    alone = model(document[None], question_ids=question[None])
    question_ids, question_mask = ragged([question, tokens(9)])
    beside = model(ids, mask, question_ids=question_ids, question_mask=question_mask)
    assert_states_close(beside.memory.select([0]), alone.memory, 1e-12)
    assert_close(beside.last_hidden_state[:1, : len(document)], alone.last_hidden_state, 1e-12, "token states")


@torch.no_grad()
def test_token_states_are_those_of_the_backbone_on_pairs():
    """Without memory a segment with a question is what transformers gives for the pair, types and all."""
    special = SPECIAL | {"separator": [4], "own_type": 1}
    model = build("none", dtype=torch.float64, special_tokens=special)
    asked, document = tokens(3), tokens(20)
    found = model(document[None], question_ids=asked[None]).last_hidden_state[0]
    lead = torch.tensor([3, *asked.tolist(), 4])
    room = SEGMENT - len(lead) - 1
    for start in range(0, 20, room):
        stretch = document[start : start + room]
        row = torch.cat([lead, stretch, torch.tensor([4])])[None]
        types = torch.tensor([[0] * len(lead) + [1] * (len(stretch) + 1)])
        wanted = model.backbone(row, token_type_ids=types).last_hidden_state[0]
        assert_close(found[start : start + room], wanted[len(lead) : -1], 1e-12, "token states")
    plain = build("none", dtype=torch.float64)
    assert plain.config.special_tokens.get("own_type") is None


@torch.no_grad()
def test_a_question_changes_what_is_read_and_an_empty_one_leaves_a_separator():
    model, ids = build("windowed_one_segment"), tokens(1, 30)
    one, other = (model(ids, question_ids=torch.tensor([[asked]])).pooler_output for asked in (7, 9))
    assert (one - other).abs().max() > 1e-4
    empty = model(ids, question_ids=torch.zeros(1, 0, dtype=torch.long))
    assert empty.memory.tokens_seen.item() == 30


@torch.no_grad()
def test_segment_states_are_means_of_segments():
    model = build("windowed_one_segment", dtype=torch.float64, special_tokens=None)
    ids, mask = ragged(documents_of(2 * SEGMENT + 3, 5))
    output = model(ids, mask, output_segment_states=True)
    assert output.segment_states.shape[:2] == (2, 3)
    for number in range(3):
        stretch = output.last_hidden_state[0, number * SEGMENT : (number + 1) * SEGMENT][: 2 * SEGMENT + 3]
        stretch = stretch[: 3 if number == 2 else SEGMENT]
        assert_close(output.segment_states[0, number], stretch.mean(0), 1e-12, "segment state")
    assert not output.segment_states[1, 1:].any()
    assert model(ids, mask).segment_states is None


@torch.no_grad()
def test_reading_beside_leaves_the_memory_and_sees_it():
    model, ids, asked = build("windowed_one_segment"), tokens(1, 3 * CAPACITY), tokens(2, 4)
    memory = model(ids).memory
    before = {name: tensor.clone() for name, tensor in memory.tensors.items()}
    states = model.read_beside(memory.fork(2), asked, torch.ones(2, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in memory.tensors.items())
    alone = model.read_beside(model.initial_memory(2), asked, torch.ones(2, 4))
    assert states.shape == (2, 4, 32) and (states - alone).abs().max() > 1e-3
    assert_close(alone, model(asked).last_hidden_state, 1e-6, "states without memory")
