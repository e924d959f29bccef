"""Feature extraction: the pre-trained encoder stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from memenc.training.adaptation.parts import in_backbone, train_only
from memenc.training.settings import TrainingSettings


@contextmanager
def frozen(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train memory, readout and head. The backbone reads without dropout, as in prediction.

    Source: feature extraction, Peters et al. 2019 (arXiv:1903.05987).
    """
    train_only(model, lambda name: not in_backbone(name))
    yield
