"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from memenc.training.settings import TrainingSettings


@contextmanager
def full(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train everything."""
    yield
