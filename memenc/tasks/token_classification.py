"""A label for every token of a whole document."""

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

IGNORED = -100


@dataclass
class MemencTokenClassifierOutput(ModelOutput):
    """Output of :class:`MemencForTokenClassification`.

    Args:
        loss: scalar, mean over labelled tokens, if labels were given; includes the design's own auxiliary loss.
        logits: (documents, tokens, labels).
        memory: state to go on reading with.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    memory: MemoryState | None = None


class MemencForTokenClassification(MemencPreTrainedModel):
    """A linear head on every token state of documents of any length, each having seen the memory.

    Args:
        config: of the model, with `num_labels`.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
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
    ) -> MemencTokenClassifierOutput | tuple:
        """Label tokens.

        Args:
            input_ids: (documents, tokens).
            attention_mask: (documents, tokens), 0 at padding.
            labels: (documents, tokens) numbers, -100 where a token has none.
            memory: state of the same documents, to go on from.
            token_type_ids: as tokenizers give them; must be zeros.
            instruction_ids: (documents, instruction tokens) in the place of the configuration's instruction.
            instruction_mask: (documents, instruction tokens), 0 at padding.
            return_dict: False gives a tuple.
            kwargs: refused by name unless None.

        Raises:
            ValueError: labels that do not fit the tokens, or that the head does not have.
        """
        self._refuse(kwargs)
        read = self.memenc(
            input_ids,
            attention_mask,
            memory=memory,
            token_type_ids=token_type_ids,
            instruction_ids=instruction_ids,
            instruction_mask=instruction_mask,
        )
        logits = self.classifier(self.dropout(read.last_hidden_state.to(self.classifier.weight.dtype)))
        loss = None
        if labels is not None:
            loss = _loss(logits, labels)
            loss = loss if read.auxiliary_loss is None else loss + read.auxiliary_loss
        output = MemencTokenClassifierOutput(loss=loss, logits=logits, memory=read.memory)
        return output if return_dict is not False else output.to_tuple()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.shape != logits.shape[:2]:
        raise ValueError(f"labels {tuple(labels.shape)} must be one per token, {tuple(logits.shape[:2])}")
    known = labels[labels != IGNORED]
    if known.numel() and (int(known.min()) < 0 or int(known.max()) >= logits.shape[2]):
        raise ValueError(f"labels run from {int(known.min())} to {int(known.max())}, the head has {logits.shape[2]}")
    # Half precision is not enough for a loss; a batch without any label has a loss of zero.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten().long(), ignore_index=IGNORED, reduction="sum"
    )
    return total / max(1, known.numel())
