"""Simple models that stand in every table: TF-IDF, truncation, chunk-and-pool, and the same one without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memenc.baselines.chunk_and_pool import chunk_and_pool
from memenc.baselines.plain import without_memory
from memenc.baselines.tfidf import tfidf
from memenc.baselines.truncate import truncate

WITHOUT_MEMORY = "without-memory"
# Each makes an unfitted classifier like the one it is compared with: same backbone, training budget, seed.
BASELINES: dict[str, Callable[[Any], Any]] = {
    "tf-idf": tfidf,
    "truncate": truncate,
    "chunk-and-pool": chunk_and_pool,
    WITHOUT_MEMORY: without_memory,
}

__all__ = ["BASELINES", "WITHOUT_MEMORY"]
