"""Tasks by name. `TaskName` of the command line repeats the names, and a test compares the two."""

from __future__ import annotations

from memenc.training.tasks.base import Examples, Task, TaskOptions
from memenc.training.tasks.embedding import Embedding
from memenc.training.tasks.multiple_choice import MultipleChoice
from memenc.training.tasks.pair_classification import PairClassification
from memenc.training.tasks.question_answering import QuestionAnswering
from memenc.training.tasks.sequence_classification import SequenceClassification
from memenc.training.tasks.token_classification import TokenClassification

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        *(SequenceClassification, QuestionAnswering, MultipleChoice, TokenClassification),
        *(Embedding, PairClassification),
    )
}


def task_named(name: str) -> type[Task]:
    """The task of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; available: {', '.join(TASKS)}")
    return TASKS[name]


__all__ = ["TASKS", "Examples", "Task", "TaskOptions", "task_named"]
