"""Chunk and pool: the plain backbone on every segment alone, the mean of all token states, fine-tuned end to end."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone


def chunk_and_pool(classifier: Any, readout: str = "mean") -> Any:
    """The same estimator without memory in any layer, pooled by the plain mean (or maximum) over the document."""
    options = dict(classifier.model_options or {}) | {"readout": readout}
    plain: Any = clone(classifier)
    return plain.set_params(memory="none", memory_options=None, model_options=options)
