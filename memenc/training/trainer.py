"""The Hugging Face Trainer with two additions: parts by token budget, and a learning rate for new parameters."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer

from memenc.data.collate import LongDocumentCollator
from memenc.memory.base import GATES
from memenc.tasks import MemencForSequenceClassification
from memenc.training.parts import in_order, parts_of
from memenc.training.settings import TrainingSettings


class DocumentTrainer(Trainer):
    """Trains a document classifier; the model works with the plain Trainer too, this one bounds memory and tunes rates.

    Args:
        settings: ours, beside the TrainingArguments made from them.
        tokens_per_segment: own tokens of a segment; parts are budgeted in whole segments.
        trainer_arguments: whatever transformers' Trainer takes.
    """

    def __init__(self, settings: TrainingSettings, tokens_per_segment: int, **trainer_arguments: Any) -> None:
        super().__init__(**trainer_arguments)
        self.settings = settings
        self.tokens_per_segment = tokens_per_segment

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        """One optimiser step's documents forward and backward, part by part; the loss is the mean over documents."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        documents = len(inputs["labels"])
        total = torch.zeros((), device=inputs["input_ids"].device)
        for part in parts_of(inputs, self.settings.tokens_per_batch, self.tokens_per_segment):
            share = len(part.pop("index")) / documents
            with self.compute_loss_context_manager():
                loss = cast(Tensor, self.compute_loss(model, part)) * share
            self.accelerator.backward(loss)
            total = total + loss.detach()
        return total / self.args.gradient_accumulation_steps

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Tensor], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Loss, logits and labels of a batch, read part by part."""
        inputs = self._prepare_inputs(inputs)
        losses, logits, indices = [], [], []
        for part in parts_of(inputs, self.settings.tokens_per_batch, self.tokens_per_segment):
            index = part.pop("index")
            with torch.no_grad(), self.compute_loss_context_manager():
                output = model(**part)
            if output.loss is not None:
                losses.append(output.loss.detach().float() * len(index))
            logits.append(output.logits.detach().float())
            indices.append(index)
        loss = torch.stack(losses).sum() / len(inputs["input_ids"]) if losses else None
        if prediction_loss_only:
            return loss, None, None
        return loss, in_order(logits, indices), inputs.get("labels")

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """AdamW with the groups of :func:`parameter_groups`."""
        if self.optimizer is None:
            groups = parameter_groups(cast(nn.Module, self.model), self.settings)
            self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        return self.optimizer


def parameter_groups(model: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Parameters by learning rate (backbone, new, gates) and weight decay (matrices of backbone and head, or none).

    Gates, biases and slot identities of memories shrink to nothing under weight decay and hardly move at a backbone's
    learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            memory = any(part in name for part in (".memories.", ".top_memory.", ".document_memory."))
            rate = settings.learning_rate if ".backbone." in name else settings.new_learning_rate
            rate = settings.gate_learning_rate if memory and name.endswith(GATES) else rate
            decay = settings.weight_decay if parameter.dim() > 1 and not memory else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def collator_for(model: MemencForSequenceClassification) -> LongDocumentCollator:
    """Pads documents to whole segments of this model."""
    special = model.memenc.encoder.special
    return LongDocumentCollator(special.padding, model.config.segment_length, special.per_segment)
