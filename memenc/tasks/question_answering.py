"""Answers to questions about whole documents: spans of them, or labels once the document has been read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memenc.config import MemencConfig
from memenc.lead import Question
from memenc.model import MemencModel
from memenc.pretrained import MemencPreTrainedModel
from memenc.state import MemoryState
from memenc.tasks.answers import ANSWERS, Inputs, LabelAnswers, MemencQuestionAnsweringOutput
from memenc.tasks.final_reading import ReadDocuments, read_documents


class MemencForQuestionAnswering(MemencPreTrainedModel):
    """Questions about documents of any length.

    `config.question_position` places the question. In "every_segment" the answer is a span of the document, or none, or
    several spans are right. With "last" the document is read once, and then each question reads the final memory:
    `read` once, `ask` many; answers are chosen from labels (`config.num_labels`) and segments ranked as evidence. For
    answers chosen from options see :class:`MemencForMultipleChoice`.

    Args:
        config: of the model.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.memenc = MemencModel(config, backbone)
        hidden = self.memenc.backbone.config.hidden_size
        self.answers = ANSWERS[config.question_position](config, hidden)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        question_documents: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        labels: Tensor | None = None,
        memory: MemoryState | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MemencQuestionAnsweringOutput | tuple:
        """Answer questions.

        Args:
            input_ids: (documents, tokens).
            attention_mask: (documents, tokens), 0 at padding.
            question_ids: (questions, tokens) without special tokens.
            question_mask: (questions, tokens), 0 at padding.
            question_documents: (questions,) row of each question's document; None if each has its own.
            start_positions: (questions,) or (questions, answers) first token of every right answer, counted in
                `input_ids`; -1 for no answer, -100 where the list is padded. With "last", beside labels: the first
                tokens of what answers rest on, from which the ranking of segments learns.
            end_positions: the last token, like it.
            labels: (questions,) numbers of the right labels, question last.
            memory: state of the same documents and questions, to go on from.
            output_hidden_states: question in every segment: token states of every layer too; None asks the
                configuration.
            return_dict: False gives a tuple.
            kwargs: refused by name unless None.

        Raises:
            ValueError: no questions, one that is longer than a segment, an answer outside its document.
        """
        self._refuse(kwargs)
        if question_ids is None:
            raise ValueError("question_ids are missing: give the token ids of one question per document")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        question = Question.of(question_ids, question_mask)
        inputs = Inputs(
            input_ids,
            mask.bool(),
            question,
            rows_of(question_documents, len(question.ids), input_ids),
            memory,
            start_positions,
            end_positions,
            labels,
            output_hidden_states,
        )
        output = self.answers(self.memenc, inputs)
        return output if return_dict is not False else output.to_tuple()

    def read(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, before: ReadDocuments | None = None
    ) -> ReadDocuments:
        """Read documents (documents, tokens), or read on, to `ask` afterwards."""
        return read_documents(self.memenc, input_ids, attention_mask, before)[0]

    def ask(
        self, read: ReadDocuments, question_ids: Tensor, question_mask: Tensor | None = None
    ) -> MemencQuestionAnsweringOutput:
        """Put a question (questions, tokens) to each document that was read; `read.select` repeats documents.

        Raises:
            ValueError: the question of this model belongs in every segment.
        """
        if not isinstance(self.answers, LabelAnswers):
            raise ValueError(
                'this model reads a document anew with each question; make one with question_position="last" to ask '
                "what was read"
            )
        return self.answers.ask(self.memenc, read, Question.of(question_ids, question_mask))


def rows_of(documents: Tensor | None, questions: int, input_ids: Tensor) -> Tensor:
    """Row of each question's document.

    Raises:
        ValueError: rows that are not there, or another number of questions than documents and no rows.
    """
    if documents is None:
        if questions != len(input_ids):
            raise ValueError(f"{questions} questions for {len(input_ids)} documents: give question_documents, the rows")
        return torch.arange(questions, device=input_ids.device)
    if documents.shape != (questions,):
        raise ValueError(f"question_documents {tuple(documents.shape)} must hold one row for each of {questions}")
    if questions and not bool(((documents >= 0) & (documents < len(input_ids))).all()):
        raise ValueError(f"question_documents {documents.tolist()} are rows of {len(input_ids)} documents")
    return documents
