"""A saved folder in the hands of others: transformers' pipelines and sentence-transformers, documents of any length."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from memenc import LongDocumentClassifier, MemencForTokenClassification, MemencModel
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents

LONG = (200, 700)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    backbone = save_tiny_backbone(tmp_path_factory.mktemp("backbone"))
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    # As the tokenizers of real encoders have it.
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(backbone)
    texts, labels = tiny_documents(24, (5, 60), seed=1)
    classifier = LongDocumentClassifier(
        backbone, "compressive", TINY_MEMORY, TINY_MODEL, TINY_TRAINING | {"epochs": 1}, verbose=False, random_state=0
    )
    return classifier.fit(texts, labels)


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    fitted.save_pretrained(path)
    return str(path)


@pytest.fixture
def logged(caplog, monkeypatch):
    """What transformers says while a test runs."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    return caplog


@pytest.mark.parametrize("batch_size", (1, 3))
def test_text_classification_of_any_length(fitted, folder, batch_size, logged):
    texts, _ = tiny_documents(7, LONG, seed=2)
    texts += ["", "excellent"]
    answers = pipeline("text-classification", model=folder, device="cpu")(texts, batch_size=batch_size, top_k=None)
    with pytest.warns(UserWarning, match="1 of 9 documents have no tokens"):
        wanted = fitted.predict_proba(texts)
    for answer, row in zip(answers, wanted, strict=True):
        scores = {label["label"]: label["score"] for label in answer}
        assert np.allclose([scores["bad"], scores["good"]], row, atol=1e-5)
    said = " ".join(record.getMessage() for record in logged.records)
    assert "longer than" not in said and "runcat" not in said


def test_feature_extraction_of_any_length(fitted, folder, logged):
    texts, _ = tiny_documents(3, LONG, seed=3)
    found = pipeline("feature-extraction", model=folder, device="cpu")(texts, return_tensors=True)
    said = " ".join(record.getMessage() for record in logged.records)
    assert "UNEXPECTED" not in said and "longer than" not in said
    for text, states in zip(texts, found, strict=True):
        ids = fitted.tokenizer_(text, return_tensors="pt", truncation=False)["input_ids"]
        with torch.no_grad():
            wanted = fitted.model_.memenc(ids).last_hidden_state
        assert states.shape == (1, len(text.split()) + 2, 32)
        assert torch.allclose(states, wanted, atol=1e-5)


@pytest.mark.parametrize("batch_size", (1, 3))
def test_token_classification_of_any_length(folder, tmp_path, batch_size, logged):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kinds = {0: "O", 1: "B-PER", 2: "I-PER"}
    model = MemencForTokenClassification.from_backbone(
        save_tiny_backbone(tmp_path / "backbone"), tokenizer=tokenizer, id2label=kinds, **TINY_MODEL
    ).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    texts, _ = tiny_documents(4, LONG, seed=5)
    found = pipeline("token-classification", model=str(tmp_path / "model"), device="cpu")(texts, batch_size=batch_size)
    for text, tokens in zip(texts, found, strict=True):
        read = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        with torch.no_grad():
            labels = model(read["input_ids"]).logits[0].argmax(-1).tolist()
        wanted = [
            (start, end, kinds[label])
            for (start, end), label in zip(read["offset_mapping"][0].tolist(), labels, strict=True)
            if end and label
        ]
        assert [(token["start"], token["end"], token["entity"]) for token in tokens] == wanted
    assert not any("longer than" in record.getMessage() for record in logged.records)


def test_sentence_transformers_reads_the_readout_of_whole_documents(fitted, folder, tmp_path):
    embed = pytest.importorskip("sentence_transformers", reason="pip install 'memenc[embed]'")
    texts, _ = tiny_documents(7, LONG, seed=4)
    texts.append("report")
    model = embed.SentenceTransformer(folder, device="cpu")
    vectors = model.encode(texts, batch_size=3)
    wanted = fitted.model_.memenc.encode(texts, fitted.tokenizer_).numpy()
    assert vectors.shape == (8, 32) and np.allclose(vectors, wanted, atol=1e-5)
    assert model.get_embedding_dimension() == 32
    # The last word of a long document is heard.
    first, second = model.encode([f"{texts[0]} excellent", f"{texts[0]} terrible"])
    assert abs(first - second).max() > 1e-6
    model.save(str(tmp_path))
    again = embed.SentenceTransformer(str(tmp_path), device="cpu").encode(texts, batch_size=3)
    assert (again == vectors).all()


def test_every_saved_model_can_be_read_by_sentence_transformers(tmp_path, fitted):
    MemencModel(fitted.model_.config).save_pretrained(tmp_path)
    (module,) = json.loads((tmp_path / "modules.json").read_text())
    assert module["type"].startswith("sentence_transformers.")
    taken = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    assert taken["modality_config"]["text"]["method_output_name"] == "pooler_output"
