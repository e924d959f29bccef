"""Memory tasks: labels checked by a slow solver that reads the ids, and what documents are made of."""

from collections import Counter

import pytest
import torch

from memenc.data.memory_tasks import MEMORY_TASKS, Detect, Memorize, Remember, Rewrite
from memenc.data.memory_tasks.associative import SYMBOLS, Associative
from memenc.data.memory_tasks.base import FIRST_WORD, QUESTION, SEGMENT
from memenc.data.memory_tasks.facts import NAMES, PLACES, WORDS

TASKS = [Remember(), Remember(2), Rewrite(), Rewrite(2, room=1), Memorize(), Detect(), Detect(11)]


def identify(task):
    return f"{task.name}-{task.segment_length}"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def segments_of(task, row):
    return row.view(-1, task.segment_length).tolist()


def value_by_reading(task, row):
    """Walk through the pairs as a person would."""
    known = {}
    *told, question = segments_of(task, row)
    for segment in told:
        assert segment[0] == SEGMENT
        known[tuple(segment[1 : 1 + task.key_size])] = segment[1 + task.key_size] - FIRST_WORD - SYMBOLS
    assert question[0] == QUESTION
    return known[tuple(question[1 : 1 + task.key_size])]


def facts_by_reading(task, row):
    """(segment, sentence) of every fact, and the question, as words."""
    found = []
    *told, question = segments_of(task, row)
    for number, segment in enumerate(told):
        words = [WORDS[x - FIRST_WORD] if FIRST_WORD <= x < FIRST_WORD + len(WORDS) else "filler" for x in segment]
        if words[1] in NAMES:
            found.append((number, words[1 : words.index(".")]))
            words = words[words.index(".") + 1 :]
        assert not set(words[1:]) & set(WORDS)
    return found, [WORDS[x - FIRST_WORD] for x in question[-4:]]


def place_by_reading(task, row):
    (fact,), question = facts_by_reading(task, row)
    assert question == ["where", "is", fact[1][0], "?"]
    return PLACES.index(fact[1][-1])


def wrong_labels(task, ids, labels):
    solve = value_by_reading if isinstance(task, Associative) else place_by_reading
    return [number for number, row in enumerate(ids) if solve(task, row) != labels[number]]


@pytest.mark.parametrize("task", TASKS, ids=identify)
@pytest.mark.parametrize("segments", [2, 3, 14])
def test_labels_are_what_a_reader_finds(task, segments):
    ids, labels = task.batch(generator(), 50, segments)
    assert ids.shape == (50, segments * task.segment_length)
    assert labels.shape == (50,)
    assert ids.dtype == labels.dtype == torch.long
    assert ids.min() > 0 and ids.max() < task.vocabulary_size
    assert wrong_labels(task, ids, labels) == []


@pytest.mark.parametrize("task", [Rewrite(), Memorize()], ids=identify)
def test_the_reader_notices_one_wrong_document(task):
    ids, labels = task.batch(generator(), 50, 5)
    labels[17] = (labels[17] + 1) % task.labels
    assert wrong_labels(task, ids, labels) == [17]


@pytest.mark.parametrize("task", TASKS, ids=identify)
def test_a_seed_is_one_stream_of_documents(task):
    first, same, other = generator(1), generator(1), generator(2)
    for segments in (4, 7):
        ids, labels = task.batch(first, 8, segments)
        again, labels_again = task.batch(same, 8, segments)
        assert torch.equal(ids, again) and torch.equal(labels, labels_again)
    assert not torch.equal(task.batch(first, 8, 4)[0], task.batch(same, 8, 5)[0][:, : 4 * task.segment_length])
    assert not torch.equal(ids, task.batch(other, 8, 7)[0])


@pytest.mark.parametrize("task", TASKS, ids=identify)
def test_labels_are_uniform(task):
    labels = task.batch(generator(), 6_000, 9)[1]
    expected = 6_000 / task.labels
    chi_squared = ((labels.bincount(minlength=task.labels) - expected) ** 2 / expected).sum()
    # Mean labels - 1, variance twice that: four standard deviations.
    assert chi_squared < task.labels - 1 + 4 * (2 * (task.labels - 1)) ** 0.5


def test_keys_are_unique_where_nothing_is_rewritten():
    task = Remember()
    ids, _ = task.batch(generator(), 100, task.most_segments)
    keys = ids.view(100, -1, task.segment_length)[:, :-1, 1]
    assert (keys.sort(1).values == torch.arange(FIRST_WORD, FIRST_WORD + SYMBOLS)).all()


def test_rewriting_repeats_keys_and_asks_for_old_ones_too():
    task = Rewrite()
    rows = task.batch(generator(), 200, 41)[0].view(200, 41, task.segment_length)
    latest = [max(i for i in range(40) if row[i, 1] == row[40, 1]) for row in rows]
    assert min(latest) < 15
    assert max(latest) == 39


@pytest.mark.parametrize(
    ("task", "expected"), [(Memorize(), {0}), (Detect(), set(range(6)))], ids=["memorize", "detect"]
)
def test_the_fact_stands_where_the_task_says(task, expected):
    ids, _ = task.batch(generator(), 3_000, 7)
    places = Counter(facts_by_reading(task, row)[0][0][0] for row in ids)
    assert set(places) == expected
    assert max(places.values()) < 1.3 * min(places.values())


def test_filler_does_not_tell_the_label():
    task = Memorize()
    ids, labels = task.batch(generator(), 3_000, 2)
    filler = ids[:, 9 : task.segment_length]
    assert (filler >= FIRST_WORD + len(WORDS)).all()
    shares = torch.stack([(filler[labels == label] == filler.min()).double().mean() for label in range(task.labels)])
    assert shares.max() - shares.min() < 0.03


@pytest.mark.parametrize("segments", [0, 1, 18])
def test_impossible_lengths_are_refused(segments):
    with pytest.raises(ValueError, match=f"{segments} segments"):
        Remember().batch(generator(), 4, segments)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="key_size"):
        Remember(0)
    with pytest.raises(ValueError, match="segment_length"):
        Detect(7)


def test_the_table_names_tasks_as_they_name_themselves():
    assert {name: task.name for name, task in MEMORY_TASKS.items()} == {name: name for name in MEMORY_TASKS}
