"""A label for every token of a whole document."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor
from torch.nn import functional

from memenc.output import MemencOutput
from memenc.tasks.classifier import Classifier

IGNORED = -100


class MemencForTokenClassification(Classifier):
    """A linear head on every token state of documents of any length, each having seen the memory.

    Labels are numbers (batch, tokens), -100 where a token has none; the loss is the mean cross entropy of the others.

    Args:
        config: of the model, with `num_labels`.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    of_tokens: ClassVar[bool] = True

    def _states(self, read: MemencOutput) -> Tensor:
        return cast(Tensor, read.last_hidden_state)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if labels.shape != logits.shape[:2]:
            raise ValueError(f"labels {tuple(labels.shape)} must be one per token, {tuple(logits.shape[:2])}")
        known = labels[labels != IGNORED]
        if known.numel() and (int(known.min()) < 0 or int(known.max()) >= logits.shape[2]):
            raise ValueError(
                f"labels run from {int(known.min())} to {int(known.max())}, the head has {logits.shape[2]}"
            )
        total = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten().long(), ignore_index=IGNORED, reduction="sum"
        )
        # A batch without any label has a loss of zero.
        return total / max(1, known.numel())
