"""Rare classes count more: the weights, the loss of a step however it is cut, and who has none."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import TrainingArguments

from memenc import MemencForSequenceClassification
from memenc.data.labels import MULTI, REGRESSION, SINGLE, Labels
from memenc.training.class_weights import class_weights, named_weights, weighed
from memenc.training.documents import TokenizedDocuments
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples
from memenc.training.tasks.embedding import MatchingPairs
from memenc.training.tasks.sequence_classification import SequenceClassification
from memenc.training.trainer import DocumentTrainer, uncollated
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MODEL

BALANCED = TrainingSettings(class_weight="balanced")
CLASSES = ("a", "b", "c")


def documents_of(labels):
    ids = [np.random.randint(5, 50, random.randint(0, 90), dtype=np.int32) for _ in labels]
    return TokenizedDocuments(ids, labels)


def task_of(kind=SINGLE):
    return SequenceClassification(Labels(kind, () if kind == REGRESSION else CLASSES))


def test_weights_are_those_of_scikit_learn():
    documents = documents_of([0, 0, 0, 2, 0, 0, 2, 0])
    # Eight documents, two classes that are there: 8 / (2 * 6) and 8 / (2 * 2).
    assert class_weights(task_of(), documents).tolist() == pytest.approx([2 / 3, 0.0, 2.0])
    assert named_weights(task_of(), documents, BALANCED) == pytest.approx({"a": 2 / 3, "b": 0.0, "c": 2.0})
    assert named_weights(task_of(), documents, TrainingSettings()) is None
    task = task_of()
    assert weighed(task, documents, TrainingSettings()) is task and task.class_weights is None


@pytest.mark.parametrize("memory", ("compressive", "compressive_reconstruction"))
def test_the_loss_of_a_step_is_the_weighed_mean_however_it_is_cut(memory, tmp_path):
    options = {"reconstruction_weight": 0.5} if memory.endswith("reconstruction") else {}
    model = MemencForSequenceClassification.from_backbone(
        tiny_backbone("bert"),
        memory_options={"window": 16, "slots": 4, "rate": 4, **options},
        problem_type=SINGLE,
        num_labels=3,
        **TINY_MODEL,
    ).double()
    model.dropout.p = 0.0
    labels = [0] * 7 + [1] * 3 + [2]
    random.shuffle(labels)
    documents = documents_of(labels)
    items = [documents[index] for index in range(len(documents))]
    task, found = weighed(task_of(), documents, BALANCED), []
    for tokens in (10**9, 64):
        model.zero_grad()
        arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
        trainer = DocumentTrainer(TrainingSettings(tokens_per_batch=tokens), model, task, args=arguments)
        loss = trainer.training_step(model, uncollated(items))
        found.append((loss, torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])))
    (whole, gradient), (cut, gradient_of_parts) = found
    output = model(**{name: value for name, value in task.collate(model, items).items() if name != "labels"})
    each = functional.cross_entropy(output.logits, torch.tensor(labels), reduction="none").detach()
    weights = torch.tensor([11 / (3 * 7), 11 / (3 * 3), 11 / 3]).double()[torch.tensor(labels)]
    own = 0.0 if output.auxiliary_loss is None else float(output.auxiliary_loss.detach())
    assert bool(options) == (own > 0)
    assert float(whole) == pytest.approx(float((weights * each).mean()) + own, rel=1e-6)
    if not options:
        assert float(cut) == pytest.approx(float(whole), rel=1e-9)
        assert torch.allclose(gradient, gradient_of_parts, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("task", (task_of(MULTI), task_of(REGRESSION), MatchingPairs(0.1)))
def test_weights_of_classes_that_there_are_not_are_refused(task):
    with pytest.raises(ValueError, match=r"class_weight='balanced' is for documents of one class each"):
        weighed(task, Examples([]), BALANCED)


@pytest.mark.parametrize("value", ("equal", {"a": 2.0}, True))
def test_other_weights_are_refused(value):
    with pytest.raises(ValueError, match=r"class_weight=.*give 'balanced', or leave it out"):
        TrainingSettings(class_weight=value)
