"""Documents found by their vectors: what is asked for, among whom, and that it can be learned."""

import pytest
import torch

from memenc.comparison.measure import documents_at, measure
from memenc.comparison.readers.build import reader_for
from memenc.comparison.readers.embedding import candidate_scores
from memenc.data.memory_tasks.needles import EMBEDDING_TASKS
from tests.comparison.tiny_cells import cell_of

TASK = {"name": "passkey_embedding", "options": {"segment_length": 12}}


@pytest.mark.parametrize("kind", EMBEDDING_TASKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_question_says_a_key_of_its_own_document(kind, split):
    task = EMBEDDING_TASKS[kind](segment_length=12, split=split)
    seed = torch.randint(1000, ()).item()
    ids, labels = task.batch(torch.Generator().manual_seed(seed), 1_030, 6)
    assert labels.tolist() == [place % 32 for place in range(1_030)] and task.chance == 1 / 32
    texts = [task.text(row).rsplit("\n", 1) for row in ids]
    keys = ["the " + question.split(" the ")[-1].removeprefix("the ") for _, question in texts]
    assert all(key in document for (document, _), key in zip(texts, keys, strict=True)), seed
    # Hardly anybody else's: some 20 of 32,000.
    groups = [range(start, start + 32) for start in range(0, 1_024, 32)]
    twins = sum(keys[a] in texts[b][0] for group in groups for a in group for b in group if a != b)
    assert twins <= 100, seed


def test_scores_are_cosines_within_groups():
    asked, found = torch.randn(10, 5), torch.randn(10, 5)
    scores = candidate_scores(asked, found, 4)
    cosines = torch.nn.functional.cosine_similarity(asked[:, None], found[None], dim=2)
    assert scores.shape == (10, 4)
    assert torch.allclose(scores[:4], cosines[:4, :4], atol=1e-6)
    assert torch.allclose(scores[8:, :2], cosines[8:, 8:], atol=1e-6)
    assert (scores[8:, 2:] < -1e30).all()


def test_groups_are_whole():
    cell = cell_of("none", tasks=[TASK], testing={"documents": 200, "tokens": 10_000, "fewest_documents": 5})
    assert [documents_at(cell, tokens, 32) for tokens in (1, 100, 10**6)] == [224, 128, 32]
    assert [documents_at(cell, tokens) for tokens in (1, 100, 10**6)] == [200, 100, 5]


@pytest.mark.parametrize("name", ["none", "windowed", "tokens", "windowed/document"])
def test_memories_take_part(name):
    rows = measure(cell_of(name, tasks=[TASK], budgets=[6_000]), lambda share: None)["rows"]
    assert [row["documents"] for row in rows] == [64, 64] and all(0 <= row["accuracy"] <= 1 for row in rows)


@pytest.mark.parametrize("name", ["truncate-first", "chunk-and-mean", "full-attention"])
def test_baselines_take_part(name):
    rows = measure(cell_of(name, "baselines", tasks=[TASK], lengths=[2, 3]), lambda share: None)["rows"]
    assert all(row["documents"] == 64 for row in rows)


def test_counts_find_keys_in_little_filler():
    rows = measure(cell_of("tf-idf", "baselines", tasks=[TASK], training={"steps": 300}), lambda share: None)["rows"]
    assert rows[0]["segments"] == 2 and rows[0]["accuracy"] > 0.7


def test_reading_in_pieces_finds_the_same():
    cell = cell_of("windowed", tasks=[TASK], budgets=[6_000])
    task = cell.new_task()
    reader = reader_for(cell, task)
    ids, _ = task.batch(torch.Generator().manual_seed(0), 40, 6)
    network = reader.network.eval()
    with torch.no_grad():
        whole, pieces = network.read(ids, 10**6), network.read(ids, 12)
        trained_on = network(ids)[0]
    assert torch.allclose(whole, pieces, atol=1e-5) and torch.allclose(whole / 0.05, trained_on, atol=1e-3)
