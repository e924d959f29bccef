"""What tasks share that answer questions about documents: where those stand, and how many answers each gets."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from memenc.data.collate import padded
from memenc.training.tasks.answers import evidence_positions
from memenc.training.tasks.base import Task, documents_collator
from memenc.training.tasks.objective import Item


class QuestionTask(Task):
    """A task that answers questions about documents."""

    text_column, label_column = "document", "questions"
    predicts_from_labels = True
    number_of_answers = 1

    @abstractmethod
    def question_room(self, model: Any) -> int:
        """Tokens of the longest question that the model can read."""

    def giving(self, answers: int) -> Self:
        """The same task, with so many answers to every question, as far as there are so many.

        Raises:
            ValueError: answers is no whole number, or below 1.
        """
        if not isinstance(answers, int) or isinstance(answers, bool) or answers < 1:
            raise ValueError(f"answers={answers!r}: give a whole number of at least 1")
        given = copy.copy(self)
        given.number_of_answers = answers
        return given

    def further(self, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The further answers as part of a line, where any were asked for."""
        return {"further": list(answers)} if self.number_of_answers > 1 else {}


def collate_read_once(model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
    """Documents, their questions below each other, and the labels and evidence of those where they are known."""
    documents = documents_collator(model)([{"input_ids": item["input_ids"]} for item in items])
    asked, mask = padded([ids for item in items for ids in item["question_ids"]])
    rows = torch.tensor([row for row, item in enumerate(items) for _ in item["question_ids"]])
    found = {**documents, "question_ids": asked, "question_mask": mask, "question_documents": rows}
    if "labels" in items[0]:
        found["labels"] = torch.tensor([label for item in items for label in item["labels"]])
        found |= evidence_positions(items)
    return found
