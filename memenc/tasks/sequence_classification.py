"""One label, several labels or numbers for a whole document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.pretrained import MemencPreTrainedModel
from memenc.state import MemoryState
from memenc.tasks.labels import class_numbers

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


@dataclass
class MemencClassifierOutput(ModelOutput):
    """Output of :class:`MemencForSequenceClassification`.

    Args:
        loss: scalar, if labels were given; includes the design's own auxiliary loss.
        logits: (batch, labels).
        memory: state to go on reading with.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    memory: MemoryState | None = None


class MemencForSequenceClassification(MemencPreTrainedModel):
    """A linear head on the context representation of documents of any length.

    `config.problem_type` chooses the loss: cross entropy, binary cross entropy for each label, or squared error; None
    guesses from the labels as transformers does.

    Args:
        config: of the model, with `num_labels`.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if config.problem_type not in (None, *PROBLEM_TYPES):
            raise ValueError(f"problem_type={config.problem_type!r}: choose one of {PROBLEM_TYPES}")
        self.memenc = MemencModel(config, backbone)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(self.memenc.backbone.config.hidden_size, config.num_labels or 1)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        memory: MemoryState | None = None,
        token_type_ids: Tensor | None = None,
        instruction_ids: Tensor | None = None,
        instruction_mask: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MemencClassifierOutput | tuple:
        """Classify documents.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens).
            labels: (batch,) class numbers, (batch, labels) zeros and ones, or (batch,) or (batch, labels) numbers.
            memory: state of the same documents, to go on from.
            token_type_ids: as tokenizers give them; must be zeros.
            instruction_ids: (batch, instruction tokens) in the place of the configuration's instruction.
            instruction_mask: (batch, instruction tokens), 0 at padding.
            return_dict: False gives a tuple.
            kwargs: refused by name unless None, so that nothing is ignored in silence.
        """
        self._refuse(kwargs)
        read = self.memenc(
            input_ids,
            attention_mask,
            memory=memory,
            token_type_ids=token_type_ids,
            instruction_ids=instruction_ids,
            instruction_mask=instruction_mask,
            output_token_states=False,
        )
        logits = self.classifier(self.dropout(read.pooler_output.to(self.classifier.weight.dtype)))
        loss = None if labels is None else self._loss(logits, labels)
        if loss is not None and read.auxiliary_loss is not None:
            loss = loss + read.auxiliary_loss
        output = MemencClassifierOutput(loss=loss, logits=logits, memory=read.memory)
        return output if return_dict is not False else output.to_tuple()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.config.problem_type or _guess_problem_type(logits, labels)
        # Half precision is not enough for a loss.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
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
