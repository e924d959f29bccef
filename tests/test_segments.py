"""Cutting documents into segments, against a slow reference in plain Python."""

import random

import pytest
import torch

from memenc.lead import SpecialTokens
from memenc.segments import Pending, cut_into_segments

FIRST_ID, VOCABULARY = 10, 40


def reference(document, special, segment_length, pending, started=False, opened=False, closed=False):
    """Rows, the place of every input token in them (None: nowhere), what is left, and how many own tokens there are."""
    prefix, suffix = list(special.prefix), list(special.suffix)
    leading = len(prefix) if prefix and document[: len(prefix)] == prefix else 0
    rest = document[leading:]
    trailing = len(suffix) if suffix and rest[len(rest) - len(suffix) :] == suffix else 0
    if (started or opened) and not trailing:
        leading = 0
    if prefix and not leading and not opened:
        trailing = 0
    rest = document[leading:]
    if closed and document and not leading:
        pending = pending + suffix
    own = pending + rest[: len(rest) - trailing]
    capacity = segment_length - special.per_segment
    rows = [prefix + own[at : at + capacity] + suffix for at in range(0, len(own), capacity)]
    places = list(range(leading))
    for rank in range(len(pending), len(own)):
        places.append(rank // capacity * segment_length + len(prefix) + rank % capacity)
    if own:
        end = (len(rows) - 1) * segment_length + len(rows[-1]) - len(suffix)
        places += [end + index for index in range(trailing)]
    else:
        places = [None] * (leading + trailing)
    left = own[len(own) // capacity * capacity :]
    return rows, places, left, (len(own), len(own) - len(pending))


def random_document(special):
    length = random.choice([0, 0, 1, 2, random.randrange(40)])
    document = [random.randrange(FIRST_ID, VOCABULARY) for _ in range(length)]
    if random.random() < 0.3:
        # Special ids somewhere inside, which must stay.
        document = [random.choice([*special.prefix, *special.suffix, token]) for token in document]
    if random.random() < 0.5:
        document = [*special.prefix, *document]
    if random.random() < 0.5:
        document = [*document, *special.suffix]
    return document


def random_special():
    ids = random.sample(range(1, FIRST_ID), 4)
    prefix, suffix = random.randrange(3), random.randrange(3)
    special = SpecialTokens(tuple(ids[:prefix]), tuple(ids[2 : 2 + suffix]), random.choice([0, ids[0]]))
    if random.random() < 0.2 and prefix == suffix:
        special = SpecialTokens(special.prefix, special.prefix, special.padding)
    return special


def lay_out(documents):
    """Ids and mask with padding anywhere, and the columns at which every document's tokens stand."""
    width = max(map(len, documents)) + random.randrange(5)
    ids = torch.randint(1, VOCABULARY, (len(documents), width))
    mask = torch.zeros(len(documents), width, dtype=torch.bool)
    columns = [sorted(random.sample(range(width), len(document))) for document in documents]
    for row, (document, places) in enumerate(zip(documents, columns, strict=True)):
        ids[row, places] = torch.tensor(document, dtype=torch.long)
        mask[row, places] = True
    return ids, mask, columns


def pending_of(lists, capacity, started, opened, closed):
    ids = torch.randint(1, VOCABULARY, (len(lists), capacity))
    for row, numbers in enumerate(lists):
        ids[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.long)
    length = torch.tensor([len(numbers) for numbers in lists])
    return Pending(ids, length, *map(torch.tensor, (started, opened, closed)))


def check_document(segments, index, document, columns, special, segment_length, *state):
    rows, places, left, (total, own_tokens) = reference(document, special, segment_length, *state)
    capacity = segment_length - special.per_segment
    for number in range(segments.count):
        row = rows[number] if number < len(rows) else []
        padded = row + [special.padding] * (segment_length - len(row))
        assert segments.ids[index, number].tolist() == padded
        assert segments.valid[index, number].tolist() == [True] * len(row) + [False] * (segment_length - len(row))
        full = len(row) == segment_length
        assert bool(segments.complete[index, number]) == full
        assert bool(segments.partial[index, number]) == bool(row and not full)
    assert segments.totals[index] == total
    assert int(segments.own_tokens[index]) == own_tokens
    assert int(segments.pending.length[index]) == len(left) < capacity
    assert segments.pending.ids[index].tolist() == left + [special.padding] * (capacity - len(left))
    found = segments.row_index[index]
    assert found[columns].tolist() == [-1 if place is None else place for place in places]
    flat = segments.ids[index].flatten()
    own_places = [(place, token) for place, token in zip(places, document, strict=True) if place is not None]
    assert all(int(flat[place]) == token for place, token in own_places)
    elsewhere = torch.ones(len(found), dtype=torch.bool)
    elsewhere[columns] = False
    assert (found[elsewhere] == -1).all()


@pytest.mark.parametrize("repetition", range(60))
def test_against_the_reference(repetition):
    random.seed(torch.initial_seed() + repetition)
    torch.manual_seed(torch.initial_seed() + repetition)
    special = random_special()
    segment_length = special.per_segment + random.randrange(1, 9)
    capacity = segment_length - special.per_segment
    documents = [random_document(special) for _ in range(random.randrange(1, 6))]
    pending = [[random.randrange(1, VOCABULARY) for _ in range(random.randrange(capacity))] for _ in documents]
    started = [bool(numbers) or random.random() < 0.3 for numbers in pending]
    opened = [begun and random.random() < 0.5 for begun in started]
    ids, mask, columns = lay_out(documents)
    closed = [random.random() < 0.3 for _ in documents]
    before = pending_of(pending, capacity, started, opened, closed)
    segments = cut_into_segments(ids, mask, special, segment_length, before)
    longest = max(segments.totals)
    assert segments.count == max(1, -(-longest // capacity)) and segments.capacities == (capacity,) * len(documents)
    for index, document in enumerate(documents):
        state = (pending[index], started[index], opened[index], closed[index])
        check_document(segments, index, document, columns[index], special, segment_length, *state)


def nothing_pending(batch, capacity):
    no, none = torch.zeros(batch, dtype=torch.bool), torch.zeros(batch, dtype=torch.long)
    return Pending(torch.zeros(batch, capacity, dtype=torch.long), none, no, no, no)


BERT = SpecialTokens((1,), (2,), 0)


def cut(document, special=BERT, segment_length=6):
    ids = torch.tensor([document], dtype=torch.long)
    pending = nothing_pending(1, segment_length - special.per_segment)
    return cut_into_segments(ids, torch.ones_like(ids, dtype=torch.bool), special, segment_length, pending)


def test_special_tokens_at_the_ends_are_not_doubled():
    bare, dressed = cut([11, 12, 13, 14, 15]), cut([1, 11, 12, 13, 14, 15, 2])
    assert bare.ids.tolist() == dressed.ids.tolist() == [[[1, 11, 12, 13, 14, 2], [1, 15, 2, 0, 0, 0]]]
    assert dressed.row_index.tolist() == [[0, 1, 2, 3, 4, 7, 8]]
    assert bare.row_index.tolist() == [[1, 2, 3, 4, 7]]
    assert bare.totals == dressed.totals == (5,)


def test_half_a_prefix_is_an_own_token():
    special = SpecialTokens((1, 3), (2,), 0)
    # A document that no tokenizer opened is not closed by one either: its last 2 is its own.
    assert cut([1, 11, 2], special).ids.tolist() == [[[1, 3, 1, 11, 2, 2]]]


def test_a_document_of_special_tokens_only_is_empty():
    segments = cut([1, 2])
    assert segments.totals == (0,) and not segments.valid.any()
    assert segments.row_index.tolist() == [[-1, -1]]
    assert segments.ids.tolist() == [[[0] * 6]]


def test_one_token_serves_as_both_ends():
    both = SpecialTokens((1,), (1,), 0)
    assert cut([1], both).totals == (0,)
    assert cut([1, 1], both).totals == (0,)
    assert cut([1, 1, 1], both).totals == (1,)


KINDS = {
    "both ends": BERT,
    "beginning": SpecialTokens((1,), (), 0),
    "end": SpecialTokens((), (2,), 0),
    "neither": SpecialTokens((), (), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_document_is_cut_its_special_tokens_are_those_of_the_whole(kind):
    random.seed(torch.initial_seed())
    special, length = KINDS[kind], 6
    # A piece with both ends inside a document is taken for one that a tokenizer made.
    inside = [2, *range(11, 15)] if kind == "both ends" else [1, 2, *range(11, 15)]
    for _ in range(40):
        document = [random.choice([1, 11]), *(random.choice(inside) for _ in range(random.randrange(24)))]
        whole = cut(document, special, length)
        pending, places = nothing_pending(1, length - special.per_segment), sorted(random.choices(range(25), k=5))
        for start, end in zip([0, *places], [*places, len(document)], strict=True):
            ids = torch.tensor([document[start:end]], dtype=torch.long)
            pieces = cut_into_segments(ids, torch.ones_like(ids, dtype=torch.bool), special, length, pending)
            pending = pieces.pending
        wanted = whole.pending.kept()
        assert all(torch.equal(found, wanted[name]) for name, found in pending.kept().items()), document
