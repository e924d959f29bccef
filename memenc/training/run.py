"""Fine-tune a classifier on documents: one function behind the estimator and the command line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from memenc.tasks import MemencForSequenceClassification
from memenc.training.documents import TokenizedDocuments
from memenc.training.metrics import MAIN_SCORE, scores
from memenc.training.parts import in_order, parts_of
from memenc.training.progress import ProgressLine
from memenc.training.settings import TrainingSettings
from memenc.training.trainer import DocumentTrainer, collator_for


def train_classifier(
    model: MemencForSequenceClassification,
    training: TokenizedDocuments,
    validation: TokenizedDocuments | None,
    settings: TrainingSettings,
    output: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune `model` in place and return the log; with validation documents the best epoch's weights are kept.

    Args:
        model: a classifier whose `config.problem_type` is set.
        training: documents with labels.
        validation: chooses the epoch; None keeps the last.
        settings: of training.
        output: folder for checkpoints, one per epoch; None uses a temporary one.
        resume: go on from the last checkpoint in `output`.
        quiet: show nothing.
        device: "cpu" keeps the accelerator idle.
    """
    if len(training) == 0:
        raise ValueError("there are no training documents")
    set_seed(settings.seed)
    # Set on our own encoder: transformers' training argument for it has another name in every other version.
    model.memenc.encoder.checkpointing = settings.activation_checkpointing
    with tempfile.TemporaryDirectory() as temporary:
        trainer = _trainer(model, training, validation, settings, Path(output or temporary), quiet, device)
        trainer.train(resume_from_checkpoint=_checkpoint(output) if resume else None)
        return trainer.state.log_history


def predict_logits(
    model: MemencForSequenceClassification,
    documents: TokenizedDocuments,
    tokens_per_batch: int = 8_192,
    documents_per_batch: int = 64,
) -> np.ndarray:
    """Logits (documents, labels) in the order of the documents, read in parts of similar length."""
    model.eval()
    collate, own = collator_for(model), model.memenc.own_tokens_per_segment
    order = np.argsort([-length for length in documents.lengths], kind="stable")
    rows = torch.zeros(len(documents), model.classifier.out_features)
    for start in range(0, len(order), documents_per_batch):
        chosen = order[start : start + documents_per_batch]
        batch = collate([{"input_ids": documents[int(index)]["input_ids"]} for index in chosen])
        parts, indices = [], []
        for part in parts_of(batch, tokens_per_batch, own):
            indices.append(part.pop("index"))
            with torch.no_grad():
                logits = model(**{name: value.to(model.device) for name, value in part.items()}).logits
            parts.append(logits.float().cpu())
        rows[chosen] = in_order(parts, indices)
    return rows.numpy()


def _trainer(
    model: MemencForSequenceClassification,
    training: TokenizedDocuments,
    validation: TokenizedDocuments | None,
    settings: TrainingSettings,
    output: Path,
    quiet: bool,
    device: str | None,
) -> DocumentTrainer:
    kind = model.config.problem_type or "single_label_classification"
    trainer = DocumentTrainer(
        settings,
        model.memenc.own_tokens_per_segment,
        model=model,
        args=_arguments(settings, output, MAIN_SCORE[kind], validation is not None, device),
        train_dataset=training,
        eval_dataset=validation,
        data_collator=collator_for(model),
        compute_metrics=lambda result: scores(kind, np.asarray(result.predictions), np.asarray(result.label_ids)),
    )
    for unwanted in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(unwanted)
    if not quiet:
        trainer.add_callback(ProgressLine(sum(training.lengths), Console(stderr=True)))
    if validation is not None and settings.patience:
        trainer.add_callback(EarlyStoppingCallback(settings.patience))
    return trainer


def _arguments(
    settings: TrainingSettings, output: Path, main_score: str, validates: bool, device: str | None
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(output),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        per_device_train_batch_size=settings.documents_per_step,
        per_device_eval_batch_size=64,
        max_grad_norm=settings.max_gradient_norm,
        bf16=settings.bf16,
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=validates,
        metric_for_best_model=main_score if validates else None,
        greater_is_better=True if validates else None,
        logging_steps=5,
        seed=settings.seed,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        # Without this transformers refuses bf16 on a machine that has no accelerator.
        use_cpu=device == "cpu" or not torch.accelerator.is_available(),
    )


def _checkpoint(output: str | Path | None) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    return None if output is None or not Path(output).is_dir() else get_last_checkpoint(str(output))
