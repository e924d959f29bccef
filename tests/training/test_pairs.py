"""Embeddings learned from pairs: the loss of a whole step in the memory of a part of it, and its scores."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional
from transformers import TrainingArguments

from memenc.data.labels import Labels
from memenc.tasks import MemencForTextPairs
from memenc.training.pair_metrics import retrieval_scores, similarity_scores
from memenc.training.run import fine_tune
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples
from memenc.training.tasks.embedding import MatchingPairs, SimilarPairs
from memenc.training.tasks.pair_classification import PairClassification
from memenc.training.trainer import DocumentTrainer, uncollated
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL


def pairs(count, longest=60):
    lengths = torch.randint(1, longest, (count, 2)).tolist()
    return [
        {
            "input_ids": torch.randint(5, 50, (first,)).numpy(),
            "pair_input_ids": torch.randint(5, 50, (second,)).numpy(),
            "more_tokens": second,
        }
        for first, second in lengths
    ]


def model_of(**options):
    return MemencForTextPairs.from_backbone(
        tiny_backbone("bert"), memory_options=TINY_MEMORY, **TINY_MODEL, **options
    ).double()


def gradients(model, items, tokens, folder):
    """Loss and gradients of one step, its parts of so many tokens, with the same random numbers."""
    model.zero_grad()
    torch.manual_seed(3)
    arguments = TrainingArguments(output_dir=str(folder), report_to="none", use_cpu=True)
    trainer = DocumentTrainer(TrainingSettings(tokens_per_batch=tokens), model, MatchingPairs(0.1), args=arguments)
    loss = trainer.training_step(model, uncollated(items))
    return loss, {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def without_dropout(model):
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model


def test_other_pairs_of_a_step_are_negatives_whatever_the_parts_are(tmp_path):
    model, items = without_dropout(model_of(pair_temperature=0.1)), pairs(9)
    loss, whole = gradients(model, items, 10**9, tmp_path)
    small_loss, small = gradients(model, items, 32, tmp_path)
    first, second = (
        torch.cat([model.memenc(torch.from_numpy(item[name])[None]).pooler_output for item in items])
        for name in ("input_ids", "pair_input_ids")
    )
    cosines = functional.cosine_similarity(first[:, None], second[None], dim=-1)
    assert torch.allclose(loss, -(cosines / 0.1).log_softmax(1).diagonal().mean(), rtol=1e-9)
    assert torch.allclose(loss, small_loss, rtol=1e-9) and whole.keys() == small.keys()
    for name, gradient in whole.items():
        assert torch.allclose(gradient, small[name], rtol=1e-7, atol=1e-10), name


def test_both_readings_of_a_part_have_the_same_dropout(tmp_path):
    model, items = model_of(pair_temperature=0.1), pairs(6)
    _, found = gradients(model, items, 32, tmp_path)
    name, parameter = next(
        (name, x) for name, x in model.named_parameters() if name.endswith("layer.0.output.dense.bias")
    )
    slope, step = found[name], 1e-6
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(sign * step * slope)
        losses.append(float(gradients(model, items, 32, tmp_path)[0]))
        with torch.no_grad():
            parameter.sub_(sign * step * slope)
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float((slope**2).sum()), rel=1e-4)


TASKS = {
    "matching": (lambda: MatchingPairs(0.05), None),
    "similar": (SimilarPairs, lambda place: place % 2 * 0.9),
    "classified": (
        lambda: PairClassification(Labels("single_label_classification", ("a", "b"))),
        lambda place: place % 2,
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_pairs_are_learned(name, tmp_path):
    torch.manual_seed(0)
    (make, label), items = TASKS[name], pairs(12, 20)
    for place, item in enumerate(items):
        item["pair_input_ids"] = item["input_ids"][: max(1, len(item["input_ids"]) // 2)]
        item |= {} if label is None else {"labels": label(place)}
    task = make()
    model = model_of(**task.model_options()).float()
    settings = TrainingSettings(epochs=10, learning_rate=1e-3, new_learning_rate=1e-2, documents_per_step=6)
    log = fine_tune(model, task, Examples(items), None, settings, tmp_path, quiet=True, device="cpu")
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]


def test_a_model_of_which_nothing_is_trained_is_refused(tmp_path):
    options = {"segment_length": 16, "readout": "mean", "pair_loss": "contrastive"}
    model = MemencForTextPairs.from_backbone(tiny_backbone("bert"), memory="none", **options)
    settings = TrainingSettings(adapt="frozen")
    with pytest.raises(ValueError, match="adapt='frozen' leaves nothing to be trained"):
        fine_tune(model, MatchingPairs(0.05), Examples(pairs(4)), None, settings, tmp_path, quiet=True, device="cpu")


def test_similarity_is_scored_by_rank():
    cosines, wanted = np.random.rand(20), np.random.rand(20)
    found = similarity_scores(cosines, wanted)
    assert found["spearman"] == pytest.approx(float(spearmanr(cosines, wanted).statistic))
    assert found["mean_squared_error"] == pytest.approx(((cosines - wanted) ** 2).mean())
    assert similarity_scores(np.exp(cosines), cosines)["spearman"] == pytest.approx(1)
    assert similarity_scores(np.ones(5), wanted[:5])["spearman"] == 0


@pytest.mark.parametrize("count", (7, 700))
def test_others_are_found_among_all(count):
    first, second = (torch.nn.functional.normalize(torch.randn(count, 8), dim=1).double() for _ in range(2))
    found = retrieval_scores(first.numpy(), second.numpy(), range(count), 0.05)
    cosines = first @ second.T
    ranks = 1 + (cosines > cosines.diagonal()[:, None]).sum(1)
    assert found["accuracy_at_1"] == pytest.approx(float((ranks == 1).double().mean()))
    assert found["mean_reciprocal_rank"] == pytest.approx(float((1 / ranks).mean()))
    wanted = functional.cross_entropy(cosines / 0.05, torch.arange(count))
    assert found["loss"] == pytest.approx(float(wanted))


def test_ties_do_not_flatter_and_the_same_text_is_no_other():
    vectors = np.ones((4, 2)) / 2**0.5
    assert retrieval_scores(vectors, vectors, "abcd", 1.0)["accuracy_at_1"] == 0
    assert retrieval_scores(vectors, vectors, "abcd", 1.0)["mean_reciprocal_rank"] == pytest.approx(1 / 4)
    assert retrieval_scores(vectors, vectors, "aaaa", 1.0)["accuracy_at_1"] == 1
    assert retrieval_scores(vectors, vectors, "aabb", 1.0)["mean_reciprocal_rank"] == pytest.approx(1 / 3)
