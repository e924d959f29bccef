"""Chunk and pool: the plain backbone on every segment alone, the mean of all token states, fine-tuned end to end."""

from __future__ import annotations

from typing import Any

from memenc.baselines.plain import without_memory


def chunk_and_pool(classifier: Any, readout: str = "mean") -> Any:
    """The same estimator without memory in any layer, pooled by the plain mean (or maximum) over the document."""
    return without_memory(classifier, readout=readout)
