"""The Hugging Face Trainer with two additions: parts by token budget, and a learning rate for new parameters."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_utils import speed_metrics

from memenc.data.batches import parts_of
from memenc.lockstep import largest_of_all, mean_of_all
from memenc.training.checkpoints import check_checkpoint
from memenc.training.curriculum import SegmentCurriculum, ShortestFirst
from memenc.training.documents import TokenizedDocuments
from memenc.training.groups import grouped
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples
from memenc.training.tasks.objective import Objective

MEMORY_PARTS = (".memories.", ".top_memory.", ".row_tokens.", ".document_memory.")


class DocumentTrainer(Trainer):
    """Trains a model on documents; it works with the plain Trainer too, this one bounds memory and tunes rates.

    Args:
        settings: ours, beside the TrainingArguments made from them.
        model: to train, with the head of the task.
        task: collates examples and scores what is said of them.
        answered: reads validation examples: what is said of each, and the mean loss.
        trainer_arguments: whatever else transformers' Trainer takes.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        model: Any,
        task: Objective,
        answered: Callable[[Any], Any] | None = None,
        **trainer_arguments: Any,
    ) -> None:
        # Documents stay apart until their part is collated: padded to one giant neighbour they would fill the memory.
        super().__init__(model=model, data_collator=uncollated, **trainer_arguments)
        self.settings, self.task, self.answered = settings, task, answered
        self.collate = partial(task.collate, model)
        self.tokens_per_segment = model.memenc.own_tokens_per_segment
        if (curriculum := curriculum_of(settings)) is not None:
            self.add_callback(curriculum)

    @property
    def curriculum(self) -> SegmentCurriculum | None:
        """The curriculum among the callbacks, which a resumed training makes anew."""
        return next((found for found in self.callback_handler.callbacks if isinstance(found, SegmentCurriculum)), None)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One optimiser step's documents forward and backward, part by part; the loss is that of the whole step."""
        model.train()
        documents = self._cropped(inputs)["documents"]
        first_time = documents[: self._here_first(len(documents))]

        def run(part: dict[str, Tensor]) -> Any:
            with self.compute_loss_context_manager():
                return self.compute_loss(model, part, return_outputs=True)[1]

        losses = []
        parts, mean = self._parts(documents, len(first_time)), partial(mean_of_all, device=self.args.device)
        for loss in self.task.losses(parts, run, first_time, mean):
            self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum() / self.args.gradient_accumulation_steps

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        """Loss and scores of the validation examples."""
        examples: Any = eval_dataset or self.eval_dataset
        started = time.time()
        assert self.answered is not None, "this trainer was made to train only"
        with self.compute_loss_context_manager():
            found = self.answered(examples)
        truths = [self.task.truth(examples[index]) for index in range(len(examples))]
        scores = {"loss": found.loss, **self.task.scores(found.predictions, truths)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items() if value is not None}
        metrics |= speed_metrics(metric_key_prefix, started, num_samples=len(truths))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        try:
            check_checkpoint(Path(best or ""))
        except ValueError as error:
            warnings.warn(f"the best checkpoint is lost ({error}); the last epoch's weights are kept", stacklevel=2)
            return
        super()._load_best_model()

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.shortest_first and isinstance(self.train_dataset, TokenizedDocuments | Examples):
            return ShortestFirst(self.train_dataset.lengths, self.settings.seed)
        return super()._get_train_sampler(*args, **kwargs)

    def _cropped(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch with its documents cut as the curriculum wants them."""
        curriculum = self.curriculum
        if curriculum is None:
            return inputs
        documents = inputs["documents"]
        lengths = [len(document["input_ids"]) for document in documents]
        before = self.args.process_index * self.args.per_device_train_batch_size
        stretches = curriculum.stretches(lengths, self.tokens_per_segment, before)
        cut = [self.task.cut(document, *stretch) for document, stretch in zip(documents, stretches, strict=True)]
        return inputs | {"documents": cut}

    def _here_first(self, count: int) -> int:
        """How many of this process's documents are not there for a second time.

        Where an epoch does not come out even, accelerate fills the last step of all processes from its beginning.
        """
        each, processes = self.args.per_device_train_batch_size, self.args.world_size
        if processes == 1:
            return count
        documents = len(cast(Sized, self.train_dataset))
        steps = -(-documents // (each * processes))
        left = documents - self.state.global_step % steps * each * processes
        return min(count, max(0, left - self.args.process_index * each))

    def _parts(self, documents: list[Any], count: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Places and collated documents of every part of the first `count` documents, on the device.

        Where another process has more parts, the shortest document comes again, at no place.
        """
        lengths = [len(document["input_ids"]) + document.get("more_tokens", 0) for document in documents]
        parts = list(parts_of(lengths[:count], self.settings.tokens_per_batch, self.tokens_per_segment))
        # Asked before the first part is read: the others ask at the same place.
        missing = largest_of_all(len(parts), self.args.device) - len(parts)
        for indices in parts:
            yield indices, self._prepare_inputs(self.collate([documents[index] for index in indices]))
        shortest = documents[lengths.index(min(lengths))]
        for _ in range(missing):
            yield [], self._prepare_inputs(self.collate([shortest]))

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """AdamW with the groups of :func:`parameter_groups`."""
        if self.optimizer is None:
            groups = parameter_groups(cast(nn.Module, self.model), self.settings)
            if not groups:
                raise ValueError(
                    f"adapt={self.settings.adapt!r} leaves nothing to be trained: this model has no parameters outside "
                    "its backbone; choose adapt='full', or a memory or readout that learns"
                )
            self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        return self.optimizer


def curriculum_of(settings: TrainingSettings) -> SegmentCurriculum | None:
    """What cuts training documents, if anything does."""
    stages, most = settings.curriculum_stages(), settings.most_segments
    if stages:
        return SegmentCurriculum(stages, seed=settings.seed, most=most)
    return None if most is None else SegmentCurriculum([], share_of_one=0.0, seed=settings.seed, most=most)


def parameter_groups(model: nn.Module, settings: Any) -> list[dict[str, Any]]:
    """Parameters by learning rate (backbone, new, gates) and weight decay (matrices of backbone and head, or none).

    The few numbers that `lora` and `bitfit` train inside the backbone hardly move at its rate: they count as new.
    """
    whole_backbone, made_up = settings.adapt == "full", getattr(model, "made_up", frozenset())

    def rate_of(name: str) -> float:
        # The head of a masked language model comes with the backbone, if that was one.
        came_along = ".backbone." in name or (name.startswith("language_model.") and name not in made_up)
        return settings.learning_rate if whole_backbone and came_along else settings.new_learning_rate

    return grouped(model, settings, rate_of, lambda name: any(part in name for part in MEMORY_PARTS))


def uncollated(features: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of documents as they are; numbers come first because the Trainer counts documents by them."""
    return {"labels": torch.zeros(len(features)), "documents": features}
