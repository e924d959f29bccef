"""What classification of documents and of tokens have in common: a linear head on what the encoder read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.output import MemencOutput
from memenc.pretrained import MemencPreTrainedModel
from memenc.state import MemoryState


@dataclass
class MemencClassifierOutput(ModelOutput):
    """Output of a :class:`Classifier`.

    Args:
        loss: scalar, if labels were given; includes the design's own auxiliary loss.
        logits: (batch, labels), or (batch, tokens, labels) of a classifier of tokens.
        memory: state to go on reading with.
        auxiliary_loss: scalar, the design's own, if it has one; it is part of the loss.
        hidden_states: if asked for, token states of every layer, as :class:`MemencOutput` has them.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    memory: MemoryState | None = None
    auxiliary_loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class Classifier(MemencPreTrainedModel, ABC):
    """An encoder, dropout and a linear layer.

    Args:
        config: of the model, with `num_labels`.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    # Whether states of all tokens are kept while a document is read.
    of_tokens: ClassVar[bool]

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
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MemencClassifierOutput | tuple:
        """Classify documents, or their tokens.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 0 at padding.
            labels: as the class says.
            memory: state of the same documents, to go on from.
            token_type_ids: as tokenizers give them; must be zeros.
            instruction_ids: (batch, instruction tokens) in the place of the configuration's instruction.
            instruction_mask: (batch, instruction tokens), 0 at padding.
            output_hidden_states: token states of every layer too; None asks the configuration.
            return_dict: False gives a tuple.
            kwargs: refused by name unless None, so that nothing is ignored in silence.

        Raises:
            ValueError: labels that do not fit the documents, or that the head does not have.
        """
        self._refuse(kwargs)
        read = self.memenc(
            input_ids,
            attention_mask,
            memory=memory,
            token_type_ids=token_type_ids,
            instruction_ids=instruction_ids,
            instruction_mask=instruction_mask,
            output_token_states=self.of_tokens,
            output_hidden_states=output_hidden_states,
        )
        logits = self.classifier(self.dropout(self._states(read).to(self.classifier.weight.dtype)))
        loss = None
        if labels is not None:
            # Half precision is not enough for a loss.
            loss = self._loss(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)
            loss = loss if read.auxiliary_loss is None else loss + read.auxiliary_loss
        output = MemencClassifierOutput(loss, logits, read.memory, read.auxiliary_loss, read.hidden_states)
        return output if return_dict is not False else output.to_tuple()

    @abstractmethod
    def _states(self, read: MemencOutput) -> Tensor:
        """What is classified, (..., hidden)."""

    @abstractmethod
    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar, of logits in float32 at least."""
