"""What the neural baselines share: the same estimator without memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.base import clone
from transformers import AutoTokenizer

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.saved import is_memenc_folder

# What a folder says beside its memory, for who takes it as a backbone and asks for nothing else.
OF_THE_FOLDER = (
    "segment_length",
    "readout",
    "readout_layers",
    "document_queries",
    "document_temperature",
    "instruction",
)


@contextmanager
def on_plain_backbone(classifier: Any) -> Iterator[Any]:
    """The classifier, or an unfitted copy of it on the plain backbone if its own came with a memory.

    A folder of `memenc train` or `memenc pretrain` holds a memory, which models without one cannot take over.
    """
    if not is_memenc_folder(classifier.backbone):
        yield classifier
        return
    with tempfile.TemporaryDirectory() as folder:
        MemencModel.from_pretrained(classifier.backbone).backbone.save_pretrained(folder)
        AutoTokenizer.from_pretrained(classifier.backbone).save_pretrained(folder)
        saved = MemencConfig.from_pretrained(classifier.backbone)
        options = {name: getattr(saved, name) for name in OF_THE_FOLDER} | dict(classifier.model_options or {})
        plain: Any = clone(classifier)
        plain.set_params(backbone=folder, model_options=options)
        plain.seed_ = getattr(classifier, "seed_", classifier.random_state)
        yield plain


def without_memory(classifier: Any, **model_options: Any) -> Any:
    """An unfitted copy without a memory in any layer, with these fields of `MemencConfig` changed."""
    training = dict(classifier.training or {})
    if training.get("adapt") == "prefix":
        # Without a memory there is nothing to start: what remains of it is training what stands on a frozen backbone.
        training["adapt"] = "frozen"
    options = dict(classifier.model_options or {}) | model_options
    plain: Any = clone(classifier)
    # A generator of seeds has gone on since; all are trained with the seed that it gave.
    seed = getattr(classifier, "seed_", classifier.random_state)
    plain.set_params(memory="none", memory_options=None, model_options=options, training=training or None)
    return plain.set_params(random_state=seed)
