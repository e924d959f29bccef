"""Embeddings trained on pairs of documents."""

import pytest
import torch
from torch.nn import functional

from memenc import LongDocumentCollator, MemencModel
from memenc.tasks import MemencForTextPairs, collate_pairs
from tests.memory.checks import CAPACITY, assert_close, build, documents_of, ragged, tokens


def pairs(loss="contrastive", design="windowed_no_divisor", **options):
    return build(design, model_class=MemencForTextPairs, pair_loss=loss, num_labels=3, **options)


def batch():
    first, second = ragged(documents_of(40, 5, 20)), ragged(documents_of(3, 60, CAPACITY))
    names = ("input_ids", "attention_mask", "pair_input_ids", "pair_attention_mask")
    return dict(zip(names, (*first, *second), strict=True))


def test_contrastive_is_the_cross_entropy_of_cosines():
    model, given = pairs(), batch()
    output = model(**given)
    first = model.memenc(given["input_ids"], given["attention_mask"]).pooler_output
    second = model.memenc(given["pair_input_ids"], given["pair_attention_mask"]).pooler_output
    cosines = functional.cosine_similarity(first[:, None], second[None], dim=-1)
    wanted = -(cosines / 0.05).log_softmax(1).diagonal().mean()
    assert_close(output.logits, cosines, 1e-5)
    assert_close(output.loss, wanted, 1e-5)
    output.loss.backward()
    assert model.memenc.encoder.memories[-1].window_bias.grad.abs().max() > 0


def test_cosine_and_classification():
    given = batch()
    similar, labels = torch.tensor([1.0, -1.0, 0.5]), torch.tensor([0, 2, 1])
    output = pairs("cosine")(**given, labels=similar)
    assert_close(output.loss, ((functional.cosine_similarity(output.first, output.second) - similar) ** 2).mean(), 1e-5)
    output = pairs("classification")(**given, labels=labels)
    assert output.logits.shape == (3, 3)
    assert_close(output.loss, functional.cross_entropy(output.logits, labels), 1e-6)


@torch.no_grad()
@pytest.mark.parametrize("loss", ("contrastive", "classification"))
def test_saved_it_is_an_embedding_model(loss, tmp_path):
    model, ids = pairs(loss), tokens(2, 50)
    model.save_pretrained(tmp_path)
    wanted = model(input_ids=ids, pair_input_ids=ids)
    again = MemencForTextPairs.from_pretrained(tmp_path)(input_ids=ids, pair_input_ids=ids)
    assert torch.equal(again.logits, wanted.logits)
    assert torch.equal(MemencModel.from_pretrained(tmp_path)(ids).pooler_output, wanted.first)


def test_refuses_what_does_not_fit():
    given = batch()
    with pytest.raises(ValueError, match="3 first documents but 2 second ones"):
        pairs()(**given | {"pair_input_ids": given["pair_input_ids"][:2], "pair_attention_mask": None})
    with pytest.raises(ValueError, match="takes no labels"):
        pairs()(**given, labels=torch.zeros(3))
    with pytest.raises(ValueError, match=r"3 pairs need labels of shape \(3,\), received \(2,\)"):
        pairs("cosine")(**given, labels=torch.zeros(2))
    with pytest.raises(ValueError, match="pair 1 has the similarity nan"):
        pairs("cosine")(**given, labels=torch.tensor([0.0, torch.nan, 1.0]))
    with pytest.raises(ValueError, match="labels run from 0 to 9"):
        pairs("classification")(**given, labels=torch.tensor([0, 1, 9]))
    with pytest.raises(ValueError, match="needs one whole number per row"):
        pairs("classification")(**given, labels=torch.zeros(3))
    with pytest.raises(ValueError, match="pair_loss='triplet': choose one of"):
        pairs("triplet")


def test_pairs_are_collated_without_losing_a_token():
    collate = LongDocumentCollator(0, 16, 2)
    rows = [
        {"input_ids": tokens(length), "pair_input_ids": tokens(other), "labels": 1}
        for length, other in ((40, 3), (5, 70))
    ]
    made = collate_pairs(collate, rows)
    assert made["attention_mask"].sum(1).tolist() == [40, 5] and made["pair_attention_mask"].sum(1).tolist() == [3, 70]
    assert made["labels"].tolist() == [1, 1] and "pair_labels" not in made
