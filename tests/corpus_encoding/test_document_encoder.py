import pickle

import numpy
import pytest
import torch
from transformers import AutoTokenizer

from memenc import MemencModel
from memenc.corpus_encoding import DocumentEncoder, NewMemory
from tests.cli.documents import reviews
from tests.tiny import save_tiny_backbone


@pytest.fixture
def batch(rows):
    return {"id": numpy.array([row["id"] for row in rows]), "text": numpy.array([row["text"] for row in rows])}


def test_a_batch_comes_back_with_vectors(encoder, batch):
    found = encoder(batch)
    assert list(found) == ["id", "vector"] and list(batch) == ["id", "text"]
    assert found["vector"].dtype == numpy.float32 and found["vector"].shape == (23, 32)
    alone = encoder.model.encode(batch["text"][7], encoder.tokenizer)
    numpy.testing.assert_allclose(found["vector"][7:8], alone.numpy(), atol=1e-5)


def test_only_arguments_are_sent_to_workers(encoder, batch):
    # Loaded, and still only its arguments.
    expected = encoder(batch)["vector"]
    sent = pickle.dumps(encoder)
    assert len(sent) < 1_000
    numpy.testing.assert_array_equal(pickle.loads(sent)(batch)["vector"], expected)


def test_making_one_loads_nothing():
    assert DocumentEncoder("no such folder").path == "no such folder"


def test_plain_encoder_gets_the_same_memory_everywhere(tmp_path, batch):
    backbone = save_tiny_backbone(tmp_path)
    memory = NewMemory("windowed", segment_length=16, seed=3)
    before = torch.get_rng_state()
    found = [DocumentEncoder(backbone, "cpu", new_memory=memory)(batch)["vector"] for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    numpy.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="plain encoder: pass new_memory"):
        DocumentEncoder(backbone, "cpu")(batch)


def test_hash_of_a_model(encoder, model, tmp_path):
    before = DocumentEncoder(model, "cpu").model_hash
    encoder({"text": ["word1 word2"]})
    assert encoder.model_hash == before
    other = MemencModel.from_pretrained(model)
    other.get_input_embeddings().weight.data[9, 9] += 1e-6
    other.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.save_pretrained(tmp_path)
    assert DocumentEncoder(tmp_path, "cpu").model_hash != before
    MemencModel.from_pretrained(model).save_pretrained(tmp_path)
    assert DocumentEncoder(tmp_path, "cpu").model_hash == before
    # How a call pads and cuts is no part of it; how words are cut is.
    tokenizer(["word1", "word2 word3"], padding=True, truncation=True, max_length=5)
    tokenizer.save_pretrained(tmp_path)
    assert DocumentEncoder(tmp_path, "cpu").model_hash == before
    tokenizer.add_tokens("word1 word2")
    tokenizer.save_pretrained(tmp_path)
    assert DocumentEncoder(tmp_path, "cpu").model_hash != before


def test_user_errors(encoder, model):
    with pytest.raises(ValueError, match="no column 'text'; its columns are: 'body'"):
        encoder({"body": ["word1"]})
    with pytest.raises(ValueError, match="document 1 is None, not text; make it a str, or leave it out"):
        encoder({"text": ["word1", None]})
    for one in (lambda: encoder.encode("word1 word2 word3"), lambda: encoder({"text": "word1 word2 word3"})):
        with pytest.raises(ValueError, match=r"received one text, 'word1 .*word3'; give a list of texts: \[text\]"):
            one()
    with pytest.raises(ValueError, match="choose one of float32"):
        DocumentEncoder(model, dtype="int8")


def test_datasets_map(encoder, rows):
    import datasets

    corpus = datasets.Dataset.from_list(rows)
    found = corpus.map(encoder, batched=True, batch_size=5, remove_columns=["text"])
    numpy.testing.assert_allclose(found["vector"][:], encoder.encode([row["text"] for row in rows]), atol=1e-5)
    assert found["id"][:] == [row["id"] for row in rows] and "text" not in found.column_names


def test_spark_s_iterators_of_pandas_frames(encoder, rows):
    # What mapInPandas calls, without Spark.
    import pandas

    frames = [pandas.DataFrame(reviews(4)), pandas.DataFrame(reviews(3, seed=5))]
    found = pandas.concat(
        pandas.DataFrame({"id": made["id"], "vector": list(made["vector"])}) for made in map(encoder, frames)
    )
    expected = encoder.encode([text for frame in frames for text in frame["text"]])
    numpy.testing.assert_allclose(numpy.stack(list(found["vector"])), expected, atol=1e-5)
