"""BitFit: of the pre-trained encoder only the biases are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from memenc.training.adaptation.parts import in_backbone, train_only
from memenc.training.settings import TrainingSettings


@contextmanager
def bitfit(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train the backbone's biases, those of its norms included; memory, readout and head.

    Source: Ben Zaken et al. 2022, BitFit (arXiv:2106.10199).

    Raises:
        ValueError: the backbone has no biases.
    """
    trained = train_only(model, lambda name: not in_backbone(name) or name.endswith(".bias"))
    if not any(in_backbone(name) for name in trained):
        kind = (model.config.backbone or {}).get("model_type")
        raise ValueError(f"adapt='bitfit': a backbone of type {kind!r} has no biases; use lora, frozen or prefix")
    yield
