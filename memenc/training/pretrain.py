"""Masked-language-model training on documents without labels, by the Hugging Face Trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from memenc.tasks import MemencForMaskedLM
from memenc.training.adaptation import adapted
from memenc.training.documents import TokenizedDocuments
from memenc.training.settings import Way
from memenc.training.trainer import parameter_groups


@dataclass(frozen=True)
class PretrainingSettings:
    """How a model learns from documents without labels.

    Args:
        adapt: what is trained: full (everything), frozen (memory and the head), lora, bitfit.
        epochs: passes over the documents.
        learning_rate: peak, of the backbone where all of it is trained.
        new_learning_rate: peak, of memory, and of what lora and bitfit train in the backbone.
        gate_learning_rate: peak, of the memories' gates.
        weight_decay: of matrices of the backbone and the head.
        documents_per_step: documents behind one optimiser step.
        mask_share: share of the tokens that are to be predicted.
        bf16: automatic mixed precision in bfloat16.
        activation_checkpointing: keep the activations of one group of segments only and compute the others again.
        seed: of initialisation, order and masks.
    """

    adapt: Way = "full"
    epochs: float = 1
    learning_rate: float = 5e-5
    new_learning_rate: float = 1e-3
    gate_learning_rate: float = 1e-2
    weight_decay: float = 0.01
    documents_per_step: int = 8
    mask_share: float = 0.15
    bf16: bool = False
    activation_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.mask_share < 1:
            raise ValueError(f"--mask-share {self.mask_share}: give a share above 0 and below 1")
        if self.adapt == "prefix":
            raise ValueError(
                "--adapt prefix trains for a task and not for language; choose full, frozen, lora or bitfit"
            )


class LanguageModelTrainer(Trainer):
    """One document goes forward and backward at a time, so that none is padded to a longer neighbour.

    Args:
        settings: ours, beside the TrainingArguments made from them.
        trainer_arguments: whatever transformers' Trainer takes.
    """

    def __init__(self, settings: PretrainingSettings, **trainer_arguments: Any) -> None:
        super().__init__(**trainer_arguments)
        self.settings = settings

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """AdamW with the groups of :func:`parameter_groups`."""
        if self.optimizer is None:
            groups = parameter_groups(self.model, self.settings)  # pyright: ignore[reportArgumentType]
            self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        return self.optimizer


def train_masked_lm(
    model: MemencForMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    documents: TokenizedDocuments,
    settings: PretrainingSettings,
    output: str,
    device: str | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, Any]]:
    """Train `model` in place and return the log.

    Args:
        model: to train.
        tokenizer: of its backbone; has a mask token.
        documents: without labels; empty ones are left out.
        settings: of training.
        output: folder the Trainer may use.
        device: "cpu" keeps the accelerator idle.
        callbacks: of the trainer.

    Raises:
        ValueError: there is nothing to read, or the tokenizer has no mask token.
    """
    filled = documents.subset([index for index, length in enumerate(documents.lengths) if length])
    if len(filled) == 0:
        raise ValueError("there are no documents with text to train on")
    if tokenizer.mask_token is None:
        raise ValueError(f"{type(tokenizer).__name__} has no mask token, so nothing can be masked")
    set_seed(settings.seed)
    model.memenc.encoder.checkpointing = settings.activation_checkpointing
    with adapted(model, settings.adapt):
        trainer = LanguageModelTrainer(
            settings,
            model=model,
            args=_arguments(settings, output, device),
            train_dataset=filled,
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=settings.mask_share),
            callbacks=list(callbacks),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.state.log_history


def _arguments(settings: PretrainingSettings, output: str, device: str | None) -> TrainingArguments:
    return TrainingArguments(
        output_dir=output,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=0.1,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.documents_per_step,
        bf16=settings.bf16,
        save_strategy="no",
        logging_steps=5,
        seed=settings.seed,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        use_cpu=device == "cpu",
    )
