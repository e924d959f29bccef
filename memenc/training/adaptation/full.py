"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel


@contextmanager
def full(model: PreTrainedModel) -> Iterator[None]:
    """Train everything."""
    yield
