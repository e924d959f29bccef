import random

import numpy
import pytest
import torch

from memenc.data import LongDocumentCollator
from tests.data.tiny_tokenizers import tiny_tokenizer


def document(tokens, **more):
    return {"input_ids": [random.randint(1, 99) for _ in range(tokens)], **more}


@pytest.mark.parametrize(
    ("lengths", "width"),
    [
        ([0], 8),
        ([1], 8),
        ([8, 3], 8),
        ([9], 16),
        ([29], 30),
        ([30], 30),
        ([31], 60),
        ([60, 5, 0], 60),
        ([61], 90),
    ],
)
def test_width(lengths, width):
    collate = LongDocumentCollator(0, segment_length=32)
    assert collate([document(tokens) for tokens in lengths])["input_ids"].shape == (len(lengths), width)


def test_a_segment_shorter_than_eight_tokens():
    collate = LongDocumentCollator(0, segment_length=6, special_tokens_per_segment=1)
    assert collate([document(0)])["input_ids"].shape == (1, 5)
    assert collate([document(6)])["input_ids"].shape == (1, 10)


@pytest.mark.parametrize("kind", [list, numpy.array, torch.tensor, lambda ids: numpy.array(ids, dtype=numpy.int32)])
def test_every_token_comes_back(kind):
    lengths = [random.randint(0, 200) for _ in range(8)]
    documents = [document(tokens) for tokens in lengths]
    features = [{"input_ids": kind(one["input_ids"])} for one in documents]
    batch = LongDocumentCollator(7, segment_length=32)(features)
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.int64
    assert batch["attention_mask"].sum(1).tolist() == lengths
    for ids, mask, one in zip(batch["input_ids"], batch["attention_mask"], documents, strict=True):
        assert ids[mask.bool()].tolist() == one["input_ids"]
        assert ids[len(one["input_ids"]) :].eq(7).all()
        assert mask.sort(descending=True).values.equal(mask)


def test_masked_tokens_are_left_out():
    batch = LongDocumentCollator(0)([{"input_ids": [0, 5, 6, 0], "attention_mask": [0, 1, 1, 0]}])
    assert batch["input_ids"][0, :3].tolist() == [5, 6, 0]
    assert batch["attention_mask"].sum() == 2


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [
        ([1, 0], torch.int64, (2,)),
        ([True, False], torch.int64, (2,)),
        ([numpy.int64(1), numpy.int64(0)], torch.int64, (2,)),
        ([torch.tensor(1), torch.tensor(0)], torch.int64, (2,)),
        ([0.5, 2.0], torch.float32, (2,)),
        ([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], torch.float32, (2, 3)),
        ([[1, 0, 1], [0, 0, 0]], torch.float32, (2, 3)),
    ],
)
@pytest.mark.parametrize("key", ["label", "labels"])
def test_labels(labels, dtype, shape, key):
    batch = LongDocumentCollator(0)([document(3, **{key: label}) for label in labels])
    assert batch["labels"].dtype == dtype
    assert batch["labels"].shape == shape
    assert batch["labels"].tolist() == [numpy.asarray(label).tolist() for label in labels]


def test_padding_id_of_a_tokenizer():
    tokenizer = tiny_tokenizer("byte level")
    assert LongDocumentCollator(tokenizer)([document(3)])["input_ids"][0, 3:].eq(tokenizer.pad_token_id).all()
    with pytest.raises(ValueError, match=r"no padding token; set tokenizer\.pad_token"):
        LongDocumentCollator(tiny_tokenizer("metaspace"))


def test_nothing_is_dropped_unless_asked_for():
    collate = LongDocumentCollator(0, segment_length=32)
    collate([document(10_000), document(3)])
    assert collate.last_report == [(10_000, 10_000), (3, 3)]
    collate([document(5)])
    assert collate.last_report == [(5, 5)]
    assert collate.tokens_seen == collate.tokens_total == 10_008


def test_overflow_is_an_error_that_names_the_document():
    collate = LongDocumentCollator(0, max_tokens=1000)
    with pytest.raises(ValueError, match=r"document 1 of the batch has 1,001 tokens, over max_tokens=1,000"):
        collate([document(1000), document(1001)])
    with pytest.raises(ValueError, match=r"document 'book' has 1,200 tokens.*max_tokens=None"):
        collate([document(1200, id="book")])
    assert collate.tokens_total == 0


def test_overflow_can_truncate():
    collate = LongDocumentCollator(0, max_tokens=10, on_overflow="truncate")
    long = document(25)
    batch = collate([long, document(4)])
    assert batch["input_ids"][0, :10].tolist() == long["input_ids"][:10]
    assert collate.last_report == [(10, 25), (4, 4)]
    assert (collate.tokens_seen, collate.tokens_total) == (14, 29)


def test_overflow_can_warn():
    collate = LongDocumentCollator(0, max_tokens=10, on_overflow="warn")
    with pytest.warns(UserWarning, match=r"document 'x' has 25 tokens.*the last 15 are dropped") as caught:
        collate([document(25, id="x"), document(4)])
    assert len(caught) == 1
    assert collate.last_report == [(10, 25), (4, 4)]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "at least one document"),
        ([{"text": "a"}], "document 0 of the batch has no 'input_ids', only text"),
        ([{"input_ids": [[1, 2]]}], r"one list of integers, got shape \(1, 2\)"),
        ([{"input_ids": [0.5]}], "of float64"),
        ([{"input_ids": ["a"]}], "one list of integers"),
        ([{"input_ids": [1], "attention_mask": [1, 1]}], "2 entries for 1 tokens"),
        ([{"input_ids": [1], "labels": 1}, {"input_ids": [1], "id": "b"}], "document 'b' has no label"),
        ([{"input_ids": [1], "labels": "pos"}], "got 'pos' first"),
        ([{"input_ids": [1], "labels": [1.0]}, {"input_ids": [1], "labels": [1.0, 0.0]}], "equally long"),
    ],
)
def test_unusable_features(features, message):
    with pytest.raises(ValueError, match=message):
        LongDocumentCollator(0)(features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pad_token_id_or_tokenizer": -1}, "got -1"),
        ({"pad_token_id_or_tokenizer": None}, "got None"),
        ({"segment_length": 2}, "segment_length 2 leaves no room"),
        ({"special_tokens_per_segment": -1}, "special"),
        ({"max_tokens": 0}, "got 0"),
        ({"on_overflow": "ignore"}, "got 'ignore'"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        LongDocumentCollator(**{"pad_token_id_or_tokenizer": 0, **settings})
