"""Parts by token budget: every document once, little padding, no part beyond the budget."""

import random

import pytest

from memenc.data import parts_of

SEGMENT = 510


def random_lengths(documents):
    return [int(random.lognormvariate(7, 1.5)) for _ in range(documents)]


def segments(length):
    return max(1, -(-length // SEGMENT))


def padded_tokens(part, lengths):
    return len(part) * max(segments(lengths[place]) for place in part) * SEGMENT


@pytest.mark.parametrize("most", [1, 5, 256])
def test_every_document_is_in_one_part_within_the_budget(most):
    lengths = [*random_lengths(400), 0, 1]
    budget = random.randint(1, 40) * SEGMENT + random.randrange(SEGMENT)
    parts = list(parts_of(lengths, budget, SEGMENT, most))
    assert sorted(place for part in parts for place in part) == list(range(len(lengths)))
    assert all(len(part) == 1 or padded_tokens(part, lengths) <= budget for part in parts)
    assert all(len(part) <= most for part in parts)


def test_little_of_a_part_is_padding():
    lengths = [*(min(length, 999_999) for length in random_lengths(3000)), 1_000_000]
    random.shuffle(lengths)
    needed = sum(map(segments, lengths)) * SEGMENT
    parts = list(parts_of(lengths, 64 * SEGMENT, SEGMENT))
    assert sum(padded_tokens(part, lengths) for part in parts) <= 1.1 * needed
    assert parts[0] == [lengths.index(1_000_000)]


def test_a_budget_below_one_segment_gives_single_documents():
    assert list(parts_of([1, 3, 2], 10, SEGMENT)) == [[1], [2], [0]]


def test_documents_of_one_length_keep_their_order():
    assert list(parts_of([7] * 5, 2 * SEGMENT, SEGMENT)) == [[0, 1], [2, 3], [4]]


def test_no_documents():
    assert list(parts_of([], 100, 10)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -2], 10, 10), "document 1 has -2"),
        (([1], 0, 10), "tokens_per_part=0: give at least 1"),
        (([1], 10, 0), "tokens_per_segment=0: give at least 1"),
        (([1], 10, 10, 0), "documents_per_part=0: give at least 1"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        parts_of(*arguments)
