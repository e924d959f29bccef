"""Heads: from the context representation (or token states) to a task."""

from memenc.tasks.sequence_classification import MemencClassifierOutput, MemencForSequenceClassification

__all__ = ["MemencClassifierOutput", "MemencForSequenceClassification"]
