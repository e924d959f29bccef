"""A warning during training when the memory contributes nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from memenc.diagnostics.knockout import effect_of_all, measured, places_of, whole_segments
from memenc.diagnostics.liveness_verdict import NOTHING
from memenc.model import memenc_of

# What is kept aside of a training set, and how often it is looked at: some hundredths of the training's time.
WATCHED_DOCUMENTS, WATCHED_SEGMENTS, LOGS_BETWEEN = 4, 4, 20


class LivenessCallback(TrainerCallback):
    """Empties the memory now and then, and warns once if the last segment of some documents does not miss it.

    Works with transformers' Trainer. `effects` holds what was measured: (step, relative change of the token states).

    Args:
        input_ids: (documents, tokens) a few documents kept aside; at least one has two whole segments.
        attention_mask: (documents, tokens), 0 at padding; None if there is none.
        every: measure at every so many logs of the trainer; evaluations log too.
        threshold: relative change below which the memory counts as dead.
        patience: measurements below it in a row before the warning; designs that start at zero need a few steps.

    Raises:
        ValueError: `every` or `patience` is below 1.
    """

    def __init__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        every: int = 1,
        threshold: float = NOTHING,
        patience: int = 2,
    ) -> None:
        for name, value in (("every", every), ("patience", patience)):
            if value < 1:
                raise ValueError(f"{name}={value}: give at least 1")
        self.input_ids, self.attention_mask = input_ids, attention_mask
        self.every, self.threshold, self.patience = every, threshold, patience
        self.effects: list[tuple[int, float]] = []
        self.logs = 0
        self.warned = False

    @classmethod
    def watching(cls, model: Any, documents: Sequence[np.ndarray]) -> list[Self]:
        """A callback on the first segments of a few of the documents; none where there is nothing to watch.

        Args:
            model: a model or a head on one.
            documents: token ids of the training documents.
        """
        base = memenc_of(model)
        capacity = base.own_tokens_per_segment
        long = [ids for ids in documents if len(ids) >= 2 * capacity][:WATCHED_DOCUMENTS]
        if not long or not places_of(base):
            return []
        segments = min(WATCHED_SEGMENTS, *(len(ids) // capacity for ids in long))
        kept = np.stack([ids[: segments * capacity] for ids in long]).astype(np.int64)
        return [cls(torch.from_numpy(kept), every=LOGS_BETWEEN)]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse documents that are too short before any time is spent on training."""
        whole_segments(memenc_of(kwargs["model"]), self.input_ids, self.attention_mask)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure, and warn if it is time to."""
        self.logs += 1
        model = memenc_of(kwargs["model"])
        places = places_of(model)
        if self.logs % self.every or not places:
            return
        with measured(model):
            documents = whole_segments(model, self.input_ids, self.attention_mask)
            self.effects.append((state.global_step, effect_of_all(model, documents, places).tokens))
        newest = [effect for _, effect in self.effects[-self.patience :]]
        dead = len(newest) == self.patience and not any(effect >= self.threshold for effect in newest)
        if dead and not self.warned and state.is_world_process_zero:
            self.warned = True
            warnings.warn(self._sentence(model, state.global_step), stacklevel=2)

    def _sentence(self, model: Any, step: int) -> str:
        return (
            f"the {model.config.memory!r} memory contributes nothing at step {step}: without it the last segment's "
            f"token states change by {self.effects[-1][1]:.1e} only (below {self.threshold:.0e}); "
            "memenc.diagnostics.liveness(model, input_ids) says where it is dead"
        )
