"""Parts by token budget bound the memory and change nothing else."""

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from memenc import (
    MemencForMultipleChoice,
    MemencForQuestionAnswering,
    MemencForSequenceClassification,
    MemencForTextPairs,
    MemencForTokenClassification,
)
from memenc.data.labels import Labels
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import predict_logits
from memenc.training.settings import TrainingSettings
from memenc.training.tasks.base import TaskOptions
from memenc.training.tasks.multiple_choice import MultipleChoice
from memenc.training.tasks.pair_classification import PairClassification
from memenc.training.tasks.question_answering import LabelQuestions
from memenc.training.tasks.sequence_classification import SequenceClassification
from memenc.training.tasks.token_classification import TokenClassification
from memenc.training.trainer import DocumentTrainer, parameter_groups, uncollated
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL


def random_features(lengths):
    return [{"input_ids": torch.randint(5, 50, (length,)), "labels": index % 2} for index, length in enumerate(lengths)]


def tiny_model():
    return MemencForSequenceClassification.from_backbone(
        tiny_backbone("bert"), memory_options=TINY_MEMORY, problem_type="single_label_classification", **TINY_MODEL
    ).double()


def gradients_with_budget(model, features, tokens, tmp_path):
    model.zero_grad()
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    task = SequenceClassification(Labels("single_label_classification", ("no", "yes")))
    trainer = DocumentTrainer(TrainingSettings(tokens_per_batch=tokens), model, task, args=arguments)
    loss = trainer.training_step(model, uncollated(features))
    return loss, {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_budget_does_not_change_loss_or_gradients(tmp_path):
    model = tiny_model()
    model.dropout.p = 0.0
    batch = random_features(torch.randint(0, 120, (12,)).tolist())
    loss, whole = gradients_with_budget(model, batch, 10**9, tmp_path)
    small_loss, small = gradients_with_budget(model, batch, 64, tmp_path)
    assert torch.allclose(loss, small_loss, rtol=1e-9)
    assert whole.keys() == small.keys()
    for name, gradient in whole.items():
        assert torch.allclose(gradient, small[name], rtol=1e-7, atol=1e-10), name


OTHER_TASKS = {
    "token-classification": (
        MemencForTokenClassification,
        lambda ids: {"firsts": np.arange(0, len(ids), 2), "labels": np.arange(0, len(ids), 2) % 3},
        lambda: TokenClassification(("a", "b", "c")),
    ),
    "question-answering": (
        MemencForQuestionAnswering,
        lambda ids: asked_of(ids, labels=lambda count: [number % 3 for number in range(count)]),
        lambda: LabelQuestions(TaskOptions(question_position="last"), ("a", "b", "c")),
    ),
    "pair-classification": (
        MemencForTextPairs,
        lambda ids: {"pair_input_ids": ids[: len(ids) // 2], "more_tokens": len(ids) // 2, "labels": len(ids) % 3},
        lambda: PairClassification(Labels("single_label_classification", ("a", "b", "c"))),
    ),
    "multiple-choice": (
        MemencForMultipleChoice,
        lambda ids: asked_of(ids, labels=lambda count: [number % 2 for number in range(count)], options=2),
        MultipleChoice,
    ),
}


HEAD_OPTIONS = {
    "question-answering": {"question_position": "last"},
    "pair-classification": {"pair_loss": "classification"},
}


def asked_of(ids, labels, options=None):
    """One question, or three about long documents; evidence for some of them."""
    count = 3 if len(ids) > 40 else 1
    item = {"questions": ("?",) * count, "question_ids": [[7, 8 + number] for number in range(count)]}
    item["labels"] = labels(count)
    item["evidence"] = [[(0, 2)] if number == 1 else [] for number in range(count)]
    if options:
        item["option_ids"] = [[[9 + number], [30, 31]] for number in range(count)]
    return item


@pytest.mark.parametrize("name", OTHER_TASKS)
def test_words_questions_and_pairs_count_the_same_in_any_part(name, tmp_path):
    head, rest_of, make = OTHER_TASKS[name]
    options = HEAD_OPTIONS.get(name, {})
    memory = TINY_MEMORY | {"reconstruction_weight": 0.3}
    model = head.from_backbone(tiny_backbone("bert"), memory_options=memory, num_labels=3, **options, **TINY_MODEL)
    model = model.double().train()
    for module in model.modules():
        module.p = 0.0
    batch = [torch.randint(5, 50, (length,)).numpy() for length in (90, 3, 60, 5, 0, 45)]
    items = [{"input_ids": ids, **rest_of(ids)} for ids in batch]
    task, losses, found = make(), [], []
    for tokens in (10**9, 64):
        model.zero_grad()
        arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
        trainer = DocumentTrainer(TrainingSettings(tokens_per_batch=tokens), model, task, args=arguments)
        losses.append(trainer.training_step(model, uncollated(items)))
        found.append({key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None})
    assert torch.allclose(*losses, rtol=1e-9)
    whole, small = found
    assert whole.keys() == small.keys()
    for key, gradient in whole.items():
        assert torch.allclose(gradient, small[key], rtol=1e-7, atol=1e-10), key


def test_predictions_do_not_depend_on_budget_or_batch():
    model = tiny_model().eval()
    ids = [torch.randint(5, 50, (length,)).numpy() for length in torch.randint(0, 150, (20,)).tolist()]
    documents = TokenizedDocuments(ids)
    reference = predict_logits(model, documents)
    assert abs(predict_logits(model, documents, tokens_per_batch=32) - reference).max() < 1e-6


def test_every_parameter_is_in_one_group_and_memory_has_no_decay():
    model = tiny_model()
    settings = TrainingSettings(learning_rate=1e-5, new_learning_rate=1e-3, weight_decay=0.1)
    groups = parameter_groups(model, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(seen) == sorted(names.values())
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert (group["lr"] == 1e-5) == (".backbone." in name)
            if "memories" in name or parameter.dim() < 2:
                assert group["weight_decay"] == 0.0


def test_labels_and_documents_must_match():
    with pytest.raises(ValueError, match="1 documents but 2 labels"):
        TokenizedDocuments([torch.zeros(3).numpy()], [0, 1])
    with pytest.raises(ValueError, match="above 0"):
        TrainingSettings(epochs=0)
