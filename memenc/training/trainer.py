"""The Hugging Face Trainer with two additions: parts by token budget, and a learning rate for new parameters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer

from memenc.data.batches import parts_of
from memenc.data.collate import LongDocumentCollator
from memenc.lockstep import largest_of_all
from memenc.tasks import MemencForSequenceClassification
from memenc.training.checkpoints import check_checkpoint
from memenc.training.curriculum import SegmentCurriculum, ShortestFirst
from memenc.training.documents import TokenizedDocuments
from memenc.training.groups import grouped
from memenc.training.settings import TrainingSettings

MEMORY_PARTS = (".memories.", ".top_memory.", ".row_tokens.", ".document_memory.")


class DocumentTrainer(Trainer):
    """Trains a document classifier; the model works with the plain Trainer too, this one bounds memory and tunes rates.

    Args:
        settings: ours, beside the TrainingArguments made from them.
        model: to train.
        trainer_arguments: whatever else transformers' Trainer takes.
    """

    def __init__(
        self, settings: TrainingSettings, model: MemencForSequenceClassification, **trainer_arguments: Any
    ) -> None:
        # Documents stay apart until their part is collated: padded to one giant neighbour they would fill the memory.
        super().__init__(model=model, data_collator=uncollated, **trainer_arguments)
        self.settings = settings
        self.collate = collator_for(model)
        self.tokens_per_segment = model.memenc.own_tokens_per_segment
        stages = settings.curriculum_stages()
        if stages:
            self.add_callback(SegmentCurriculum(stages, seed=settings.seed))

    @property
    def curriculum(self) -> SegmentCurriculum | None:
        """The curriculum among the callbacks, which a resumed training makes anew."""
        return next((found for found in self.callback_handler.callbacks if isinstance(found, SegmentCurriculum)), None)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One optimiser step's documents forward and backward, part by part; the loss is the mean over documents."""
        model.train()
        losses = []
        for indices, part in self._parts(self._cropped(inputs)):
            with self.compute_loss_context_manager():
                loss = cast(Tensor, self.compute_loss(model, part)) * len(indices) / len(inputs["documents"])
            self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum() / self.args.gradient_accumulation_steps

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Loss, logits and labels of a batch, read part by part."""
        losses, logits, order = [], [], []
        for indices, part in self._parts(inputs):
            with torch.no_grad(), self.compute_loss_context_manager():
                output = model(**part)
            if indices:
                losses.append(output.loss.detach().float() * len(indices))
                logits.append(output.logits.detach().float())
                order += indices
        loss = torch.stack(losses).sum() / len(order)
        if prediction_loss_only:
            return loss, None, None
        return loss, torch.cat(logits)[torch.tensor(order).argsort()], inputs["labels"].to(loss.device)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        try:
            check_checkpoint(Path(best or ""))
        except ValueError as error:
            warnings.warn(f"the best checkpoint is lost ({error}); the last epoch's weights are kept", stacklevel=2)
            return
        super()._load_best_model()

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.shortest_first and isinstance(self.train_dataset, TokenizedDocuments):
            return ShortestFirst(self.train_dataset.lengths, self.settings.seed)
        return super()._get_train_sampler(*args, **kwargs)

    def _cropped(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch with its documents cut as the curriculum wants them."""
        curriculum = self.curriculum
        if curriculum is None:
            return inputs
        documents = inputs["documents"]
        ids = curriculum.crop([document["input_ids"] for document in documents], self.tokens_per_segment)
        cut = [document | {"input_ids": kept} for document, kept in zip(documents, ids, strict=True)]
        return inputs | {"documents": cut}

    def _parts(self, inputs: dict[str, Any]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Places and collated documents of every part of a batch, on the device.

        Where another process has more parts, the shortest document comes again, at no place.
        """
        documents = inputs["documents"]
        lengths = [len(document["input_ids"]) for document in documents]
        parts = list(parts_of(lengths, self.settings.tokens_per_batch, self.tokens_per_segment))
        for indices in parts:
            yield indices, self._prepare_inputs(self.collate([documents[index] for index in indices]))
        shortest = documents[lengths.index(min(lengths))]
        for _ in range(largest_of_all(len(parts), self.args.device) - len(parts)):
            yield [], self._prepare_inputs(self.collate([shortest]))

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """AdamW with the groups of :func:`parameter_groups`."""
        if self.optimizer is None:
            groups = parameter_groups(cast(nn.Module, self.model), self.settings)
            self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        return self.optimizer


def parameter_groups(model: nn.Module, settings: Any) -> list[dict[str, Any]]:
    """Parameters by learning rate (backbone, new, gates) and weight decay (matrices of backbone and head, or none).

    The few numbers that `lora` and `bitfit` train inside the backbone hardly move at its rate: they count as new.
    """
    whole_backbone = settings.adapt == "full"

    def rate_of(name: str) -> float:
        return settings.learning_rate if whole_backbone and ".backbone." in name else settings.new_learning_rate

    return grouped(model, settings, rate_of, lambda name: any(part in name for part in MEMORY_PARTS))


def uncollated(features: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of documents as they are; its labels come first because the Trainer counts documents by them."""
    return {"labels": torch.as_tensor([feature["labels"] for feature in features]), "documents": features}


def collator_for(model: MemencForSequenceClassification) -> LongDocumentCollator:
    """Pads documents to whole segments of this model."""
    special = model.memenc.encoder.special
    return LongDocumentCollator(special.padding, model.config.segment_length, special.per_segment)
