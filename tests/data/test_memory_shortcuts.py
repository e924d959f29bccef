"""No memory task is solved by the question alone; which words occur, without their order, tells what it says here."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from memenc.data.memory_tasks import MEMORY_TASKS
from memenc.data.memory_tasks.filler import FILLER

DOCUMENTS, SEGMENTS = 1_500, 9
# One fact, and one thing that is counted: words suffice, what is hard is to keep them.
WORDS_SUFFICE = ("memorize", "detect", "count")
# Accuracy that counts of words may reach, by what a document names beside the answer.
MOST_BY_WORDS = {
    "remember": 0.32,
    "rewrite": 0.34,
    "reasoning": 0.25,
    "babi1": 0.55,
    "babi2": 0.57,
    "babi3": 0.25,
    "babi4": 0.32,
    "babi5": 0.58,
    "babi": 0.45,
    "passkey": 0.47,
    "multikey": 0.34,
    "recent_exact": 0.30,
    "early_exact": 0.33,
    "early_gist": 0.57,
    "early_constraint": 0.57,
    "definition_link": 0.33,
    "update": 0.34,
}


def counts(task, ids):
    """How often every word occurs that is not filler, (documents, words); filler is drawn apart from all labels."""
    counted = torch.zeros(len(ids), task.vocabulary_size).scatter_add_(1, ids, torch.ones(ids.shape))
    return counted[:, [word not in FILLER["train"] for word in task.words]].numpy()


def accuracy_by_words(task, start):
    """Of logistic regression on counts of words from id `start` of a document on, on fresh documents."""
    generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    (ids, labels), (new_ids, new_labels) = (task.batch(generator, DOCUMENTS, SEGMENTS) for _ in range(2))
    model = LogisticRegression(max_iter=3_000).fit(counts(task, ids[:, start:]), labels.numpy())
    return model.score(counts(task, new_ids[:, start:]), new_labels.numpy())


@pytest.mark.parametrize("name", WORDS_SUFFICE)
def test_words_without_order_suffice_where_one_thing_is_told(name):
    assert accuracy_by_words(MEMORY_TASKS[name](), 0) > 0.95


@pytest.mark.parametrize("name", MOST_BY_WORDS)
def test_words_without_order_do_not_suffice(name):
    assert accuracy_by_words(MEMORY_TASKS[name](), 0) < MOST_BY_WORDS[name]


def test_every_task_is_measured():
    assert {*WORDS_SUFFICE, *MOST_BY_WORDS} == set(MEMORY_TASKS)


@pytest.mark.parametrize("name", MEMORY_TASKS)
def test_the_last_segment_alone_tells_no_more_than_chance(name):
    task = MEMORY_TASKS[name]()
    error = (task.chance * (1 - task.chance) / DOCUMENTS) ** 0.5
    assert abs(accuracy_by_words(task, -task.segment_length) - task.chance) < 5 * error
