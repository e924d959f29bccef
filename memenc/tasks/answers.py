"""Two ways to put questions to documents: in every segment, or once the document has been read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.generic import ModelOutput

from memenc.config import MemencConfig
from memenc.lead import Question
from memenc.model import MemencModel
from memenc.state import MemoryState
from memenc.tasks.final_reading import FinalReading, ReadDocuments, evidence_loss, read_documents
from memenc.tasks.labels import class_numbers
from memenc.tasks.spans import SpanLogits, span_loss


@dataclass
class MemencQuestionAnsweringOutput(ModelOutput):
    """Output of :class:`MemencForQuestionAnswering`, one row per question.

    Args:
        loss: scalar, if answers were given; includes the design's own auxiliary loss.
        start_logits: (questions, tokens), question in every segment; the lowest number at padding.
        end_logits: like it.
        no_answer_logits: (questions,), on the scale of start plus end.
        logits: (questions, labels), question last.
        evidence: (questions, segments), question last: how much of the answer came from every segment.
        memory: state of reading, of every question or (question last) of every document.
        auxiliary_loss: scalar, the design's own, if it has one; it is part of the loss.
        hidden_states: if asked for, question in every segment: token states of every layer, as :class:`MemencOutput`
            has them, of every question's document.
    """

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    no_answer_logits: Tensor | None = None
    logits: Tensor | None = None
    evidence: Tensor | None = None
    memory: MemoryState | None = None
    auxiliary_loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """What is asked of what: tensors as `MemencForQuestionAnswering.forward` names them."""

    input_ids: Tensor
    attention_mask: Tensor
    question: Question
    documents: Tensor
    memory: MemoryState | None
    starts: Tensor | None
    ends: Tensor | None
    labels: Tensor | None
    hidden_states: bool | None


class Answers(nn.Module, ABC):
    """One way to put questions to documents."""

    def __init__(self, config: MemencConfig, hidden: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout)

    @abstractmethod
    def forward(self, model: MemencModel, inputs: Inputs) -> MemencQuestionAnsweringOutput:
        """Answer."""


@final
class SpanAnswers(Answers):
    """The document is read with its question in every segment; start and end logits over every token of it."""

    def __init__(self, config: MemencConfig, hidden: int) -> None:
        super().__init__(config, hidden)
        self.span = nn.Linear(hidden, 2)
        self.none = nn.Linear(hidden, 1)

    def forward(self, model: MemencModel, inputs: Inputs) -> MemencQuestionAnsweringOutput:
        """Read every question's document with it."""
        if inputs.labels is not None:
            raise ValueError('labels answer questions with question_position="last"; here give start_positions')
        if (inputs.starts is None) != (inputs.ends is None):
            raise ValueError("start_positions and end_positions go together: give both, or neither for no loss")
        mask = inputs.attention_mask[inputs.documents]
        read = model(
            inputs.input_ids[inputs.documents],
            mask,
            memory=inputs.memory,
            question_ids=inputs.question.ids,
            question_mask=inputs.question.mask,
            output_hidden_states=inputs.hidden_states,
        )
        logits = self._logits(read.last_hidden_state, read.pooler_output, mask)
        loss = None
        if inputs.starts is not None and inputs.ends is not None:
            loss = span_loss(logits, inputs.starts, inputs.ends, mask)
            loss = loss if read.auxiliary_loss is None else loss + read.auxiliary_loss
        return MemencQuestionAnsweringOutput(
            loss=loss,
            start_logits=logits.start,
            end_logits=logits.end,
            no_answer_logits=logits.none,
            memory=read.memory,
            auxiliary_loss=read.auxiliary_loss,
            hidden_states=read.hidden_states,
        )

    def _logits(self, states: Tensor, vector: Tensor, mask: Tensor) -> SpanLogits:
        kind = self.span.weight.dtype
        both = self.span(self.dropout(states.to(kind)))
        none = self.none(self.dropout(vector.to(kind)))[:, 0]
        # Half precision is not enough for a softmax over a hundred thousand tokens.
        both, none = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in (both, none))
        both = both.masked_fill(~mask[..., None], torch.finfo(both.dtype).min)
        return SpanLogits(both[..., 0], both[..., 1], none)


@final
class LabelAnswers(Answers):
    """The document is read once; every question then reads the final memory and chooses one of the labels."""

    def __init__(self, config: MemencConfig, hidden: int) -> None:
        super().__init__(config, hidden)
        self.reading = FinalReading(hidden, config.classifier_dropout)
        self.label = nn.Linear(hidden, config.num_labels or 1)

    def forward(self, model: MemencModel, inputs: Inputs) -> MemencQuestionAnsweringOutput:
        """Read the documents, then ask."""
        if inputs.memory is not None:
            raise ValueError('memory goes on reading with question_position="every_segment"; here use read and ask')
        if inputs.hidden_states:
            raise ValueError(
                'output_hidden_states belongs to question_position="every_segment"; with "last" '
                "read the document with model.memenc(input_ids, output_hidden_states=True)"
            )
        if inputs.labels is None and (inputs.starts is not None or inputs.ends is not None):
            raise ValueError("start_positions and end_positions are evidence beside labels: give labels, too")
        read, auxiliary = read_documents(model, inputs.input_ids, inputs.attention_mask)
        asked = read.select(inputs.documents)
        logits, evidence = self._ask(model, asked, inputs.question)
        loss = None
        if inputs.labels is not None:
            loss = functional.cross_entropy(logits, class_numbers(inputs.labels, logits))
            loss = loss if auxiliary is None else loss + auxiliary
            if inputs.starts is not None:
                capacity = model.own_tokens_per_segment
                loss = loss + evidence_loss(evidence, asked.counts, inputs.starts, inputs.ends, capacity)
        return MemencQuestionAnsweringOutput(
            loss=loss, logits=logits, evidence=evidence, memory=read.memory, auxiliary_loss=auxiliary
        )

    def ask(self, model: MemencModel, read: ReadDocuments, question: Question) -> MemencQuestionAnsweringOutput:
        """Put one question to each document."""
        logits, evidence = self._ask(model, read, question)
        return MemencQuestionAnsweringOutput(logits=logits, evidence=evidence)

    def _ask(self, model: MemencModel, read: ReadDocuments, question: Question) -> tuple[Tensor, Tensor]:
        """Logits (questions, labels) and evidence (questions, segments)."""
        room = model.own_tokens_per_segment
        longest = int(question.mask.sum(1).max())
        if longest > room:
            place = int(question.mask.sum(1).argmax())
            raise ValueError(
                f"question {place} of the batch has {longest} tokens, but a segment has room for {room}; shorten it or "
                "choose longer segments"
            )
        found = self.reading(model, read, question)
        logits = self.label(found.vector)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)), found.evidence


ANSWERS: dict[str, type[Answers]] = {"every_segment": SpanAnswers, "last": LabelAnswers}
