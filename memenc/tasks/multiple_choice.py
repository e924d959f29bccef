"""The right one of several options, for questions about documents that are read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from memenc.config import MemencConfig
from memenc.lead import Question
from memenc.model import MemencModel
from memenc.pretrained import MemencPreTrainedModel
from memenc.state import MemoryState
from memenc.tasks.final_reading import FinalReading, ReadDocuments, evidence_loss, read_documents
from memenc.tasks.labels import class_numbers
from memenc.tasks.question_answering import rows_of


@dataclass
class MemencMultipleChoiceOutput(ModelOutput):
    """Output of :class:`MemencForMultipleChoice`, one row per question.

    Args:
        loss: scalar, if labels were given; includes the design's own auxiliary loss.
        logits: (questions, options), the lowest number where a question has fewer options than others.
        evidence: (questions, options, segments): how much of each score came from every segment.
        memory: state of reading, of every document.
        auxiliary_loss: scalar, the design's own, if it has one; it is part of the loss.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    evidence: Tensor | None = None
    memory: MemoryState | None = None
    auxiliary_loss: Tensor | None = None


class MemencForMultipleChoice(MemencPreTrainedModel):
    """Options scored against what was kept of a document, which is read once: `read` once, `ask` many.

    Each option is read as the second text of a pair with its question, and reads the document's memory
    (:class:`FinalReading`).

    Args:
        config: of the model.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.memenc = MemencModel(config, backbone)
        hidden = self.memenc.backbone.config.hidden_size
        self.reading = FinalReading(hidden, config.classifier_dropout)
        self.score = nn.Linear(hidden, 1)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        question_documents: Tensor | None = None,
        option_ids: Tensor | None = None,
        option_mask: Tensor | None = None,
        labels: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MemencMultipleChoiceOutput | tuple:
        """Choose.

        Args:
            input_ids: (documents, tokens).
            attention_mask: (documents, tokens), 0 at padding.
            question_ids: (questions, tokens) without special tokens.
            question_mask: (questions, tokens), 0 at padding.
            question_documents: (questions,) row of each question's document; None if each has its own.
            option_ids: (questions, options, tokens) without special tokens.
            option_mask: (questions, options, tokens), 0 at padding; an option of no tokens is no option.
            labels: (questions,) numbers of the right options.
            start_positions: (questions,) or (questions, stretches), beside labels: the first tokens of what the right
                options rest on, counted in `input_ids`, from which the ranking of segments learns; below 0 for none.
            end_positions: the last tokens, like it.
            return_dict: False gives a tuple.
            kwargs: refused by name unless None.

        Raises:
            ValueError: no questions or options, a question longer than a segment, a label that is no option.
        """
        self._refuse(kwargs)
        if question_ids is None or option_ids is None:
            raise ValueError("question_ids or option_ids are missing: give token ids of both for every question")
        if labels is None and (start_positions is not None or end_positions is not None):
            raise ValueError("start_positions and end_positions are evidence beside labels: give labels, too")
        read, auxiliary = read_documents(self.memenc, input_ids, attention_mask)
        asked = read.select(rows_of(question_documents, len(question_ids), input_ids))
        output = self.ask(asked, question_ids, question_mask, option_ids, option_mask)
        if labels is not None:
            logits = cast(Tensor, output.logits)
            right = _chosen(labels, logits)
            loss = functional.cross_entropy(logits, right)
            loss = loss if auxiliary is None else loss + auxiliary
            if start_positions is not None:
                evidence = cast(Tensor, output.evidence)[torch.arange(len(right), device=right.device), right]
                capacity = self.memenc.own_tokens_per_segment
                loss = loss + evidence_loss(evidence, asked.counts, start_positions, end_positions, capacity)
            output.loss = loss
        output.memory, output.auxiliary_loss = read.memory, auxiliary
        return output if return_dict is not False else output.to_tuple()

    def read(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, before: ReadDocuments | None = None
    ) -> ReadDocuments:
        """Read documents (documents, tokens), or read on, to `ask` afterwards."""
        return read_documents(self.memenc, input_ids, attention_mask, before)[0]

    def ask(
        self,
        read: ReadDocuments,
        question_ids: Tensor,
        question_mask: Tensor | None,
        option_ids: Tensor,
        option_mask: Tensor | None = None,
    ) -> MemencMultipleChoiceOutput:
        """Put a question with its options to each document that was read; `read.select` repeats documents.

        Raises:
            ValueError: options that do not fit the questions.
        """
        if option_ids.dim() != 3 or len(option_ids) != len(question_ids):
            raise ValueError(
                f"option_ids {tuple(option_ids.shape)} must be (questions, options, tokens) for {len(question_ids)} "
                "questions"
            )
        questions, options, _ = option_ids.shape
        question = Question.of(question_ids, question_mask)
        mask = torch.ones_like(option_ids, dtype=torch.bool) if option_mask is None else option_mask.bool()
        if mask.shape != option_ids.shape:
            raise ValueError(f"option_mask {tuple(mask.shape)} must be like option_ids {tuple(option_ids.shape)}")
        if not bool(mask.any(2).any(1).all()):
            question = int((~mask.any(2).any(1)).nonzero()[0, 0])
            raise ValueError(f"question {question} has no option with a token; give at least one")
        # Options that are only there to fill the table are not read.
        places = mask.any(2).flatten().nonzero()[:, 0]
        rows = places // options
        lead = Question(question.ids[rows], question.mask[rows])
        text = Question.of(option_ids.flatten(0, 1)[places], mask.flatten(0, 1)[places])
        found = self.reading(self.memenc, read.select(rows), text, lead)
        scores = self.score(found.vector)[:, 0]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        lowest = scores.new_full((questions * options,), torch.finfo(scores.dtype).min)
        evidence = found.evidence.new_zeros(questions * options, found.evidence.shape[1])
        return MemencMultipleChoiceOutput(
            logits=lowest.index_put((places,), scores).unflatten(0, (questions, options)),
            evidence=evidence.index_put((places,), found.evidence).unflatten(0, (questions, options)),
        )


def _chosen(labels: Tensor, logits: Tensor) -> Tensor:
    """Numbers of the right options (questions,).

    Raises:
        ValueError: one that its question does not have.
    """
    numbers = class_numbers(labels, logits)
    absent = logits.gather(1, numbers[:, None])[:, 0] == torch.finfo(logits.dtype).min
    if bool(absent.any()):
        row = int(absent.nonzero()[0, 0])
        raise ValueError(f"question {row} has no option {int(numbers[row])}: its options are fewer")
    return numbers
