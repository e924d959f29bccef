"""What each class counts where some are rare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from memenc.data.labels import SINGLE
from memenc.training.settings import TrainingSettings
from memenc.training.tasks.objective import Objective
from memenc.training.tasks.sequence_classification import SequenceClassification


def refuse_idle_weights(task: Objective, settings: TrainingSettings) -> None:
    """Refuse weights of classes where a document has no single class.

    Raises:
        ValueError: they are asked for.
    """
    single = isinstance(task, SequenceClassification) and task.labels.problem_type == SINGLE
    if settings.class_weight is not None and not single:
        raise ValueError(
            f"training setting class_weight={settings.class_weight!r} is for documents of one class each "
            "(sequence-classification); leave it out"
        )


def class_weights(task: SequenceClassification, examples: Any) -> np.ndarray:
    """Weights (classes,) in inverse proportion to how often each is a label, as scikit-learn has it; 0 of no label.

    Args:
        task: whose labels they are.
        examples: to be trained on.
    """
    labels = np.array([int(task.truth(examples[index])) for index in range(len(examples))])
    weights, present = np.zeros(len(task.labels.names)), np.unique(labels)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return weights


def weighed(task: Objective, examples: Any, settings: TrainingSettings) -> Objective:
    """The task with the weights of classes that the settings ask for, itself without.

    Raises:
        ValueError: the task has no such classes.
    """
    refuse_idle_weights(task, settings)
    if settings.class_weight is None or not isinstance(task, SequenceClassification):
        return task
    return task.weighed(class_weights(task, examples))


def named_weights(task: Objective, examples: Any, settings: TrainingSettings) -> dict[str, float] | None:
    """The weights by class, for results; None where all count the same."""
    found = weighed(task, examples, settings)
    if not isinstance(found, SequenceClassification) or found.class_weights is None:
        return None
    names: Sequence[str] = found.labels.names
    return dict(zip(names, map(float, found.class_weights), strict=True))
