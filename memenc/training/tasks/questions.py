"""What tasks share that answer questions about documents: where those stand, and how many answers each gets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

from memenc.training.tasks.base import Task


class QuestionTask(Task):
    """A task that answers questions about documents."""

    text_column, label_column = "document", "questions"
    predicts_from_labels = True
    number_of_answers = 1

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
