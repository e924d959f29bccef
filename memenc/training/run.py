"""Fine-tune a classifier on documents: one function behind the estimator and the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from memenc.data.batches import parts_of
from memenc.lockstep import is_first_process, number_of_processes
from memenc.tasks import MemencForSequenceClassification
from memenc.training.adaptation import adapted
from memenc.training.cache import cached_lower_layers
from memenc.training.checkpoints import FiniteGradients, SaveEvery, SealedCheckpoints, epochs_if_stopped, newest_whole
from memenc.training.documents import TokenizedDocuments
from memenc.training.metrics import MAIN_SCORE, scores
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
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, Any]]:
    """Fine-tune `model` in place and return the log; with validation documents the best epoch's weights are kept.

    Args:
        model: a classifier whose `config.problem_type` is set.
        training: documents with labels.
        validation: chooses the epoch; None keeps the last.
        settings: of training.
        output: folder for checkpoints, one per epoch and every `settings.save_steps`; None uses a temporary one.
        resume: go on from the last checkpoint in `output` that is whole; the weights come out as if nothing happened.
        quiet: show nothing.
        device: "cpu" keeps the accelerator idle.
        callbacks: of the trainer, beside its own.
    """
    if len(training) == 0:
        raise ValueError("there are no training documents")
    set_seed(settings.seed)
    # Set on our own encoder: transformers' training argument for it has another name in every other version.
    model.memenc.encoder.checkpointing = settings.activation_checkpointing
    with (
        tempfile.TemporaryDirectory() as temporary,
        adapted(model, settings.adapt),
        cached_lower_layers(model.memenc.encoder, temporary) as constant,
    ):
        if constant and not quiet:
            Console(stderr=True).print(f"the lower {constant} layers stay as they are: computed once, kept on disk")
        trainer = _trainer(model, training, validation, settings, Path(output or temporary), quiet, device)
        for callback in callbacks:
            trainer.add_callback(callback)
        checkpoint = newest_whole(Path(output)) if resume and output is not None else None
        if checkpoint is not None:
            # Early stopping would take one more step before it notices.
            trainer.args.num_train_epochs = epochs_if_stopped(checkpoint) or settings.epochs
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return trainer.state.log_history


@torch.no_grad()
def predict_logits(
    model: MemencForSequenceClassification, documents: TokenizedDocuments, tokens_per_batch: int = 8_192
) -> np.ndarray:
    """Logits (documents, labels) in the order of the documents, read in parts of similar length."""
    model.eval()
    collate = collator_for(model)
    rows = torch.zeros(len(documents), model.classifier.out_features)
    for indices in parts_of(documents.lengths, tokens_per_batch, model.memenc.own_tokens_per_segment):
        part = collate([{"input_ids": documents.token_ids[index]} for index in indices])
        logits = model(**{name: value.to(model.device) for name, value in part.items()}).logits
        rows[indices] = logits.float().cpu()
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
        model,
        args=_arguments(settings, output, MAIN_SCORE[kind], validation is not None, device),
        train_dataset=training,
        eval_dataset=validation,
        compute_metrics=lambda result: scores(kind, np.asarray(result.predictions), np.asarray(result.label_ids)),
    )
    for unwanted in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(SealedCheckpoints())
    trainer.add_callback(FiniteGradients())
    if settings.save_steps:
        trainer.add_callback(SaveEvery(settings.save_steps))
    if not quiet and is_first_process():
        trainer.add_callback(ProgressLine(sum(training.lengths), Console(stderr=True)))
    if validation is not None and settings.patience:
        trainer.add_callback(EarlyStoppingCallback(settings.patience))
    return trainer


def _documents_per_process(documents_per_step: int) -> int:
    """A step has as many documents whatever the number of processes is."""
    processes = number_of_processes()
    if documents_per_step % processes:
        raise ValueError(
            f"documents_per_step={documents_per_step} cannot be shared by {processes} processes: give a multiple of it"
        )
    return documents_per_step // processes


def _arguments(
    settings: TrainingSettings, output: Path, main_score: str, validates: bool, device: str | None
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(output),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        per_device_train_batch_size=_documents_per_process(settings.documents_per_step),
        per_device_eval_batch_size=64,
        max_grad_norm=settings.max_gradient_norm,
        bf16=settings.bf16,
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        # The best, the last, and the one before it in case the last is damaged.
        save_total_limit=3 if validates else 2,
        # How long early stopping has waited.
        restore_callback_states_from_checkpoint=True,
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
