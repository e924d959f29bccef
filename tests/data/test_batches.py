import random

import pytest
from torch.utils.data import DataLoader

from memenc.data import TokenBudgetBatchSampler

SEGMENT = 510


def random_lengths(documents=400):
    return [int(random.lognormvariate(7, 1.5)) for _ in range(documents)]


def segments(length):
    return max(1, -(-length // SEGMENT))


def padded_tokens(batch, lengths):
    return len(batch) * max(segments(lengths[index]) for index in batch) * SEGMENT


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("max_documents", [None, 1, 5])
def test_every_document_once_and_every_batch_within_budget(shuffle, max_documents):
    lengths = random_lengths()
    budget = random.randint(1, 40) * SEGMENT + random.randrange(SEGMENT)
    sampler = TokenBudgetBatchSampler(lengths, budget, SEGMENT, max_documents, shuffle)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        assert all(len(batch) == 1 or padded_tokens(batch, lengths) <= budget for batch in batches)
        assert all(len(batch) <= (max_documents or len(lengths)) for batch in batches)
        assert len(batches) == len(sampler)


def test_documents_of_one_batch_are_of_similar_length():
    lengths = random_lengths(3000)
    budget = 64 * SEGMENT
    batches = list(TokenBudgetBatchSampler(lengths, budget, SEGMENT))
    needed = sum(map(segments, lengths)) * SEGMENT
    assert sum(padded_tokens(batch, lengths) for batch in batches) <= 1.25 * needed


def test_a_document_over_budget_is_alone():
    batches = list(TokenBudgetBatchSampler([100 * SEGMENT, 100 * SEGMENT, 5, 6], 2 * SEGMENT, SEGMENT))
    assert sorted(map(sorted, batches)) == [[0], [1], [2, 3]]


def test_a_budget_below_one_segment_gives_single_documents():
    assert sorted(TokenBudgetBatchSampler([1, 2, 3], 10, SEGMENT)) == [[0], [1], [2]]


def test_epochs_differ_and_can_be_repeated():
    lengths = random_lengths()
    first, again = (TokenBudgetBatchSampler(lengths, 16 * SEGMENT, SEGMENT, seed=3) for _ in range(2))
    other = TokenBudgetBatchSampler(lengths, 16 * SEGMENT, SEGMENT, seed=4)
    assert list(first) == list(first) == list(again) != list(other)
    before = list(first)
    first.set_epoch(1)
    after = list(first)
    assert len(after) == len(before)
    # Not only the batches' order but also who shares a batch.
    assert {frozenset(batch) for batch in before} != {frozenset(batch) for batch in after}
    again.set_epoch(1)
    assert list(again) == after
    first.set_epoch(0)
    assert list(first) == before


def test_every_document_of_a_neighbourhood_meets_every_other():
    sampler = TokenBudgetBatchSampler([5] * 6, 2 * SEGMENT, SEGMENT)
    pairs = set()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        pairs |= {frozenset(batch) for batch in sampler}
    assert len(pairs) == 15


def test_long_batches_come_at_random_places():
    lengths = [10 * SEGMENT] * 10 + [5] * 100
    sampler = TokenBudgetBatchSampler(lengths, 10 * SEGMENT, SEGMENT)
    places = set()
    for epoch in range(50):
        sampler.set_epoch(epoch)
        places |= {place for place, batch in enumerate(sampler) if batch == [0]}
    assert len(places) > 5


def test_without_shuffling_the_longest_come_first():
    lengths = random_lengths()
    sampler = TokenBudgetBatchSampler(lengths, 16 * SEGMENT, SEGMENT, shuffle=False)
    counts = [segments(lengths[index]) for batch in sampler for index in batch]
    assert counts == sorted(counts, reverse=True)
    expected = list(sampler)
    sampler.set_epoch(5)
    assert list(sampler) == expected


@pytest.mark.parametrize(("documents", "batches"), [(8, 2), (9, 2), (11, 2), (12, 3), (3, 0)])
def test_drop_last_leaves_out_one_batch_that_is_not_full(documents, batches):
    sampler = TokenBudgetBatchSampler([5] * documents, 4 * SEGMENT, SEGMENT, drop_last=True)
    assert len(sampler) == batches
    assert [len(batch) for batch in sampler] == [4] * batches


def test_no_documents():
    sampler = TokenBudgetBatchSampler([], 100, 10)
    assert len(sampler) == 0
    assert list(sampler) == []


def test_works_in_a_data_loader():
    lengths = random_lengths(50)
    loader = DataLoader(lengths, batch_sampler=TokenBudgetBatchSampler(lengths, 9 * SEGMENT, SEGMENT))
    assert sorted(length for batch in loader for length in batch.tolist()) == sorted(lengths)
    assert len(loader) == len(list(loader))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -2], 10, 10), "document 1 has -2"),
        (([1], 0, 10), "tokens_per_batch must be at least 1, got 0"),
        (([1], 10, 0), "segment_tokens must be at least 1, got 0"),
        (([1], 10, 10, 0), "max_documents must be at least 1, got 0"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenBudgetBatchSampler(*arguments)
