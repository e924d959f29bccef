"""Fine-tune a model on documents: one function behind the estimator and the command line."""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from memenc.data.batches import parts_of
from memenc.data.labels import REGRESSION, SINGLE, Labels
from memenc.lockstep import is_first_process, number_of_processes
from memenc.model import memenc_of
from memenc.pretrained import MemencPreTrainedModel
from memenc.tasks import MemencForSequenceClassification
from memenc.tasks.final_reading import ReadDocuments
from memenc.training.adaptation import adapted
from memenc.training.cache import cached_lower_layers
from memenc.training.checkpoints import (
    BestInItsFolder,
    FiniteGradients,
    SaveEvery,
    SealedCheckpoints,
    epochs_if_stopped,
    newest_whole,
)
from memenc.training.class_weights import weighed
from memenc.training.documents import TokenizedDocuments, refuse_all_empty
from memenc.training.progress import ProgressLine
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples
from memenc.training.tasks.base import Task, documents_collator
from memenc.training.tasks.objective import Item, Objective
from memenc.training.tasks.sequence_classification import SequenceClassification
from memenc.training.trainer import DocumentTrainer

Documents = TokenizedDocuments | Examples


@dataclass(frozen=True)
class Answered:
    """What a model says of some examples: one prediction each, and the mean loss if they have labels."""

    predictions: list[Any]
    loss: float | None


def train_classifier(
    model: MemencForSequenceClassification,
    training: TokenizedDocuments,
    validation: TokenizedDocuments | None,
    settings: TrainingSettings,
    output: str | Path | None = None,
    resume: bool = False,
    **options: Any,
) -> list[dict[str, Any]]:
    """Fine-tune a classifier whose `config.problem_type` is set; the rest as in :func:`fine_tune`."""
    kind = model.config.problem_type or SINGLE
    names = () if kind == REGRESSION else tuple(map(str, range(model.classifier.out_features)))
    task = SequenceClassification(Labels(kind, names))
    return fine_tune(model, task, training, validation, settings, output, resume, **options)


def fine_tune(
    model: MemencPreTrainedModel,
    task: Objective,
    training: Documents,
    validation: Documents | None,
    settings: TrainingSettings,
    output: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    device: str | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, Any]]:
    """Fine-tune `model` in place and return the log; with validation documents the best epoch's weights are kept.

    Args:
        model: with the head of the task.
        task: what is learned.
        training: examples with labels.
        validation: chooses the epoch; None keeps the last.
        settings: of training.
        output: folder for checkpoints, one per epoch and every `settings.save_steps`; None uses a temporary one.
        resume: go on from the last checkpoint in `output` that is whole; the weights come out as if nothing happened.
        quiet: show nothing.
        device: "cpu" keeps the GPU idle; None takes CUDA if there is any, else the CPU. Other accelerators were never
            tried; Apple's has no float64, in which positions are exact.
        callbacks: of the trainer, beside its own.
    """
    if len(training) == 0:
        raise ValueError("there are no training documents")
    refuse_all_empty(training.token_ids)
    task = weighed(task, training, settings)
    set_seed(settings.seed)
    # Set on our own encoder: transformers' training argument for it has another name in every other version.
    encoder = memenc_of(model).encoder
    encoder.checkpointing = settings.activation_checkpointing
    with (
        tempfile.TemporaryDirectory() as temporary,
        adapted(model, settings),
        cached_lower_layers(encoder, temporary) if task.same_every_epoch else nullcontext(0) as constant,
    ):
        if constant and not quiet:
            Console(stderr=True).print(f"the lower {constant} layers stay as they are: computed once, kept on disk")
        trainer = _trainer(model, task, training, validation, settings, Path(output or temporary), quiet, device)
        # Checkpoints are sealed with all that others write into them.
        for callback in (*callbacks, SealedCheckpoints()):
            trainer.add_callback(callback)
        checkpoint = newest_whole(Path(output)) if resume and output is not None else None
        if checkpoint is not None:
            # Early stopping would take one more step before it notices.
            trainer.args.num_train_epochs = epochs_if_stopped(checkpoint) or settings.epochs
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return trainer.state.log_history


def predict_logits(
    model: MemencForSequenceClassification, documents: TokenizedDocuments, tokens_per_batch: int = 8_192
) -> np.ndarray:
    """Logits (documents, labels) in the order of the documents, read in parts of similar length."""
    rows = torch.zeros(len(documents), model.classifier.out_features)
    collate = documents_collator(model)
    for indices, output in outputs_of(model, documents, collate, tokens_per_batch):
        rows[indices] = output.logits.float().cpu()
    return rows.numpy()


def answered(
    model: MemencPreTrainedModel, task: Objective, examples: Documents, tokens_per_batch: int = 8_192
) -> Answered:
    """What a model says of examples, in their order, read in parts of similar length."""
    predictions: list[Any] = [None] * len(examples)
    losses: list[tuple[float, int]] = []
    for indices, output in outputs_of(model, examples, partial(task.collate, model), tokens_per_batch):
        found = task.predictions(model, output, [examples[index] for index in indices])
        for index, prediction in zip(indices, found, strict=True):
            predictions[index] = prediction
        weight = sum(task.weight(examples[index]) for index in indices)
        losses += [] if output.loss is None else [(float(output.loss), weight)]
    total = sum(weight for _, weight in losses)
    return Answered(predictions, sum(loss * weight for loss, weight in losses) / (total or 1) if losses else None)


@torch.no_grad()
def answers_of(model: MemencPreTrainedModel, task: Task, examples: Examples) -> list[Any]:
    """What a model says of examples, in their order; documents with many questions are read once for all of them."""
    places = defaultdict[int, list[int]](list)
    for place, ids in enumerate(examples.token_ids):
        places[id(ids)].append(place)
    again = [each for each in places.values() if task.asks_again and len(each) > 1]
    rest = sorted({*range(len(examples))} - {place for each in again for place in each})
    found = answered(model, task, Examples([examples[place] for place in rest])).predictions if rest else []
    predictions = dict(zip(rest, found, strict=True))
    model.eval()
    for each in again:
        document = arguments_of(model, task, examples[each[0]])
        read: ReadDocuments = cast(Any, model).read(document["input_ids"], document["attention_mask"])
        for place in each:
            output = task.ask(model, read, arguments_of(model, task, examples[place]))
            (predictions[place],) = task.predictions(model, output, [examples[place]])
    return [predictions[place] for place in range(len(examples))]


def arguments_of(model: MemencPreTrainedModel, task: Task, item: Item) -> dict[str, Tensor]:
    """One item as arguments of the model, on its device."""
    return {name: value.to(model.device) for name, value in task.collate(model, [item]).items()}


def scored(model: MemencPreTrainedModel, task: Objective, examples: Examples) -> dict[str, float]:
    """Scores of what a model says of examples."""
    return task.scores(answered(model, task, examples).predictions, [task.truth(item) for item in examples.items])


@torch.no_grad()
def outputs_of(
    model: Any, examples: Documents, collate: Callable[[list[Any]], dict[str, Tensor]], tokens_per_batch: int
) -> Iterator[tuple[list[int], Any]]:
    """Places of examples of similar length, and what the model gives for them."""
    model.eval()
    for indices in parts_of(examples.lengths, tokens_per_batch, memenc_of(model).own_tokens_per_segment):
        part = collate([examples[index] for index in indices])
        yield indices, model(**{name: value.to(model.device) for name, value in part.items()})


def _trainer(
    model: MemencPreTrainedModel,
    task: Objective,
    training: Documents,
    validation: Documents | None,
    settings: TrainingSettings,
    output: Path,
    quiet: bool,
    device: str | None,
) -> DocumentTrainer:
    trainer = DocumentTrainer(
        settings,
        model,
        task,
        partial(answered, model, task),
        args=_arguments(settings, output, task, validation is not None, device),
        train_dataset=training,
        eval_dataset=validation,
    )
    for unwanted in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(BestInItsFolder())
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
    settings: TrainingSettings, output: Path, task: Objective, validates: bool, device: str | None
) -> TrainingArguments:
    arguments = TrainingArguments(
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
        metric_for_best_model=task.main_score if validates else None,
        greater_is_better=task.higher_is_better if validates else None,
        logging_steps=5,
        seed=settings.seed,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        # Else transformers refuses bf16 where there is no accelerator, and takes one that was never tried.
        use_cpu=device == "cpu" or not torch.cuda.is_available(),
    )
    if arguments.n_gpu > 1:
        # With several cards and one process the Trainer would take DataParallel, which knows no memory.
        warnings.warn(f"one of {arguments.n_gpu} GPUs is used; torchrun uses all", stacklevel=2)
        arguments._n_gpu = 1
    return arguments
