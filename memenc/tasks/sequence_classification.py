"""One label, several labels or numbers for a whole document."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from memenc.config import MemencConfig
from memenc.output import MemencOutput
from memenc.tasks.classifier import Classifier
from memenc.tasks.labels import class_numbers

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


class MemencForSequenceClassification(Classifier):
    """A linear head on the context representation of documents of any length.

    `config.problem_type` chooses the loss: cross entropy of labels (batch,), which are class numbers; binary cross
    entropy for each label, of zeros and ones (batch, labels); or squared error of numbers (batch,) or (batch, labels).
    None guesses from the labels as transformers does.

    Args:
        config: of the model, with `num_labels`.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    of_tokens: ClassVar[bool] = False

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config, backbone)
        if config.problem_type not in (None, *PROBLEM_TYPES):
            raise ValueError(f"problem_type={config.problem_type!r}: choose one of {PROBLEM_TYPES}")

    def _states(self, read: MemencOutput) -> Tensor:
        return cast(Tensor, read.pooler_output)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.config.problem_type or _guess_problem_type(logits, labels)
        if kind == "single_label_classification":
            return functional.cross_entropy(logits, class_numbers(labels, logits))
        if kind == "regression" and labels.dim() == 1:
            labels = labels[:, None]
        if labels.shape != logits.shape:
            raise ValueError(f"{kind} needs labels of shape {tuple(logits.shape)}, received {tuple(labels.shape)}")
        if kind == "regression":
            return functional.mse_loss(logits, labels.to(logits))
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits))


def _guess_problem_type(logits: Tensor, labels: Tensor) -> str:
    if logits.shape[-1] == 1:
        return "regression"
    whole = labels.dtype in (torch.long, torch.int32)
    return "single_label_classification" if whole and labels.dim() == 1 else "multi_label_classification"
