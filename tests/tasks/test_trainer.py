"""transformers' Trainer and PEFT work on memenc models as they are."""

import dataclasses

import pytest
import torch
from transformers import Trainer, TrainingArguments

from memenc import MemencForSequenceClassification
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import SPECIAL, build, tokens
from tests.tasks.documents import RandomDocuments, pad


def classifier(seed=0):
    torch.manual_seed(seed)
    return build(
        "compressive_convolution",
        model_class=MemencForSequenceClassification,
        lively=False,
        num_labels=3,
        classifier_dropout=0.0,
        segments_per_call="auto",
    )


def train(model, folder, documents, batch, accumulation=1, **options):
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"num_train_epochs": 1, "learning_rate": 1e-3, **options},
    )
    trainer = Trainer(model, arguments, train_dataset=documents, eval_dataset=documents, data_collator=pad)
    result = trainer.train()
    return trainer, result


def logged(trainer, name):
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_three_steps(tmp_path):
    model = classifier()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer, result = train(model, tmp_path, RandomDocuments(12), batch=4)
    assert result.global_step == 3 and len(logged(trainer, "loss")) == 3
    changed = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    for part in ("memenc.encoder.memories.0.slot_bias", "memenc.readout.mixture", "classifier.weight"):
        assert part in changed
    assert "memenc.encoder.backbone.encoder.layer.0.attention.self.query.weight" in changed


def test_evaluation_and_prediction(tmp_path):
    documents = RandomDocuments(10)
    trainer, _ = train(classifier(), tmp_path, documents, batch=4, max_steps=1)
    loss = trainer.evaluate()["eval_loss"]
    prediction = trainer.predict(documents)
    assert prediction.predictions.shape == (10, 3) and prediction.label_ids.tolist() == [
        r["labels"] for r in documents.rows
    ]
    wanted = torch.nn.functional.cross_entropy(torch.tensor(prediction.predictions), torch.tensor(prediction.label_ids))
    assert abs(loss - float(wanted)) < 0.05


def test_saving_and_resuming(tmp_path):
    model = classifier()
    trainer, _ = train(model, tmp_path, RandomDocuments(4), batch=4)
    trainer.save_model(str(tmp_path / "saved"))
    again, ids = MemencForSequenceClassification.from_pretrained(tmp_path / "saved"), tokens(2, 50)
    assert torch.equal(again(ids).logits, model.eval()(ids).logits)


def test_accumulated_gradients_are_those_of_one_batch(tmp_path):
    documents = RandomDocuments(8)
    losses, norms, weights = [], [], []
    for batch, accumulation in ((8, 1), (4, 2), (2, 4)):
        model = classifier(seed=3)
        options = {"optim": "sgd", "max_grad_norm": 1e9, "lr_scheduler_type": "constant"}
        trainer, _ = train(model, tmp_path, documents, batch, accumulation, **options)
        losses.append(logged(trainer, "loss")[0])
        norms.append(logged(trainer, "grad_norm")[0])
        weights.append(model.classifier.weight.detach())
    assert max(losses) - min(losses) < 1e-3, f"loss by accumulation: {losses}"
    assert max(norms) - min(norms) < 1e-3 * norms[0], f"gradient norm by accumulation: {norms}"
    for weight in weights[1:]:
        torch.testing.assert_close(weight, weights[0], rtol=1e-4, atol=1e-6)


def test_checkpointed_training(tmp_path):
    documents, losses = RandomDocuments(8), []
    # 5.17 knows the old name only, and the new one warns about it.
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    for checkpointing in (False, True):
        trainer, _ = train(classifier(seed=4), tmp_path, documents, 4, **{name: checkpointing})
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_half_precision_training(tmp_path):
    trainer, _ = train(classifier(), tmp_path, RandomDocuments(8), 4, bf16=True)
    assert all(0 < loss < 10 for loss in logged(trainer, "loss"))


def lora(model, task_type):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], task_type=task_type, init_lora_weights=False)
    return peft.get_peft_model(model, config)


@pytest.mark.parametrize("task_type", (None, "SEQ_CLS"))
def test_low_rank_adapters(task_type, tmp_path):
    peft = pytest.importorskip("peft")
    plain, ids = classifier(seed=5), tokens(3, 50)
    wanted = plain(ids).logits
    model = lora(classifier(seed=5), task_type).eval()
    adapted = model(input_ids=ids, labels=torch.tensor([0, 1, 2]))
    assert adapted.loss.requires_grad and (adapted.logits - wanted).abs().max() > 1e-3
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name or "modules_to_save" in name for name in trained)
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(classifier(seed=5), tmp_path).eval()
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, adapted.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("more", ([], ["document_memory"]), ids=("memories", "document_memory"))
def test_adapters_beside_a_memory_that_trains(more, tmp_path):
    peft = pytest.importorskip("peft")
    saved = ["memories.0", "memories.1", "top_memory", "readout", "classifier", *more]
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=saved)
    model = peft.get_peft_model(classifier(seed=6), config)
    train(model, tmp_path, RandomDocuments(8), 4, learning_rate=1e-2)
    ids = tokens(2, 50)
    model.eval().save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(classifier(seed=6), tmp_path / "adapter").eval()
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
    fresh = classifier(seed=6).memenc.encoder.memories[0].slot_bias
    bias = [p for name, p in again.named_parameters() if name.endswith("memories.0.modules_to_save.default.slot_bias")]
    assert len(bias) == 1 and not torch.equal(bias[0], fresh)


def test_a_gradient_reaches_adapters_of_the_first_layer_through_checkpointing():
    model = lora(
        MemencForSequenceClassification.from_backbone(
            tiny_backbone(), memory="windowed", segment_length=SEGMENT, special_tokens=SPECIAL, num_labels=3
        ),
        None,
    ).train()
    model.base_model.model._set_gradient_checkpointing(True)
    model(input_ids=tokens(2, 50), labels=torch.tensor([0, 1])).loss.backward()
    gradients = [p.grad for name, p in model.named_parameters() if "layer.0" in name and "lora_" in name]
    assert gradients and all(gradient.abs().max() > 0 for gradient in gradients)
