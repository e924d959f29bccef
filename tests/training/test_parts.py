"""Parts by token budget bound the memory and change nothing else."""

import pytest
import torch

from memenc import MemencForSequenceClassification
from memenc.training.documents import TokenizedDocuments
from memenc.training.parts import in_order, parts_of
from memenc.training.run import predict_logits
from memenc.training.settings import TrainingSettings
from memenc.training.trainer import DocumentTrainer, collator_for, parameter_groups
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL


def random_batch(lengths):
    ids = torch.zeros(len(lengths), max(1, *lengths), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(5, 50, (length,))
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(len(lengths)) % 2}


def test_every_document_is_in_one_part_within_the_budget():
    lengths = [*torch.randint(0, 200, (30,)).tolist(), 3000]
    parts = list(parts_of(random_batch(lengths), 512, 16))
    assert sorted(torch.cat([part["index"] for part in parts]).tolist()) == list(range(31))
    for part in parts:
        own = part["attention_mask"].sum(1)
        assert own.tolist() == [lengths[index] for index in part["index"].tolist()]
        padded = len(own) * -(-max(1, int(own.max())) // 16) * 16
        assert padded <= 512 or len(own) == 1
        assert part["input_ids"].shape[1] == max(1, int(own.max()))


def test_results_come_back_in_order():
    batch = random_batch(torch.randint(0, 100, (17,)).tolist())
    parts = list(parts_of(batch, 128, 16))
    sums = in_order([part["input_ids"].sum(1) for part in parts], [part["index"] for part in parts])
    assert (sums == batch["input_ids"].sum(1)).all()


def tiny_model():
    return MemencForSequenceClassification.from_backbone(
        tiny_backbone("bert"), memory_options=TINY_MEMORY, problem_type="single_label_classification", **TINY_MODEL
    ).double()


def gradients_with_budget(model, batch, tokens, tmp_path):
    from transformers import TrainingArguments

    model.zero_grad()
    settings = TrainingSettings(tokens_per_batch=tokens)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    trainer = DocumentTrainer(
        settings, model.memenc.own_tokens_per_segment, model=model, args=arguments, data_collator=collator_for(model)
    )
    loss = trainer.training_step(model, batch)
    return loss, {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_budget_does_not_change_loss_or_gradients(tmp_path):
    model = tiny_model()
    model.dropout.p = 0.0
    batch = random_batch(torch.randint(0, 120, (12,)).tolist())
    loss, whole = gradients_with_budget(model, batch, 10**9, tmp_path)
    small_loss, small = gradients_with_budget(model, batch, 64, tmp_path)
    assert torch.allclose(loss, small_loss, rtol=1e-9)
    assert whole.keys() == small.keys()
    for name, gradient in whole.items():
        assert torch.allclose(gradient, small[name], rtol=1e-7, atol=1e-10), name


def test_predictions_do_not_depend_on_budget_or_batch():
    model = tiny_model().eval()
    ids = [torch.randint(5, 50, (length,)).numpy() for length in torch.randint(0, 150, (20,)).tolist()]
    documents = TokenizedDocuments(ids)
    reference = predict_logits(model, documents)
    assert abs(predict_logits(model, documents, tokens_per_batch=32, documents_per_batch=7) - reference).max() < 1e-6


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
