"""Documents found by their vectors: any network whose logits are taken for an embedding, or TF-IDF."""

from __future__ import annotations

import copy
from typing import final

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor
from torch.nn import functional

from memenc.comparison.readers.network import Network, Told, nobody
from memenc.data.memory_tasks import MemoryTask

# By which cosines are divided, as in `MemencForTextPairs`.
TEMPERATURE = 0.05


@final
class EmbeddingNetwork(Network):
    """Cosines between the vector of each question, its last segment read alone, and those of the candidate documents.

    Args:
        inner: whose logits are the vector.
        task: says how many candidates there are.
    """

    def __init__(self, inner: Network, task: MemoryTask) -> None:
        super().__init__()
        self.inner, self.candidates, self.segment_length = inner, task.candidates, task.segment_length

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor | float]:
        """Scores of the candidates (documents, candidates), and what the design adds to the loss."""
        documents, questions = self.cut(ids)
        found, beside = self.inner(documents)
        asked, _ = self.inner(questions)
        return candidate_scores(asked, found, self.candidates) / TEMPERATURE, beside

    def read(self, ids: Tensor, tokens: int, told: Told = nobody) -> Tensor:
        """The same, documents in pieces."""
        documents, questions = self.cut(ids)
        found = self.inner.read(documents, tokens, told)
        return candidate_scores(self.inner.read(questions, tokens, told), found, self.candidates)

    def cut(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Documents, and what asks for them."""
        return ids[:, : -self.segment_length], ids[:, -self.segment_length :]

    def why_not(self, segments: int) -> str | None:
        """As the network within says."""
        return self.inner.why_not(segments)

    def is_of_backbone(self, name: str) -> bool:
        """As the network within says."""
        return self.inner.is_of_backbone(name.removeprefix("inner."))

    def is_of_memory(self, name: str) -> bool:
        """As the network within says."""
        return self.inner.is_of_memory(name.removeprefix("inner."))

    def state_bytes(self, segments: int) -> int:
        """Of the network within."""
        return self.inner.state_bytes(segments)


def with_vectors(task: MemoryTask, numbers: int) -> MemoryTask:
    """The same task for the network within, whose labels are the numbers of a vector."""
    inner = copy.copy(task)
    inner.classes = tuple(map(str, range(numbers)))
    return inner


def candidate_scores(asked: Tensor, found: Tensor, candidates: int) -> Tensor:
    """Cosines (documents, candidates) of questions and the documents of their group; the last group may be smaller.

    Args:
        asked: vectors of questions, (documents, numbers).
        found: vectors of documents, like them.
        candidates: documents of a group.
    """
    count = len(asked)
    filled = -count % candidates
    asked, found = (
        functional.pad(functional.normalize(x.float(), dim=1), (0, 0, 0, filled)).unflatten(0, (-1, candidates))
        for x in (asked, found)
    )
    scores = (asked @ found.transpose(1, 2)).flatten(0, 1)
    # Every group but the last one is whole.
    there = torch.arange(candidates, device=scores.device) < candidates - filled
    last = torch.arange(len(scores), device=scores.device) >= len(scores) - candidates
    return scores.masked_fill(last[:, None] & ~there, torch.finfo(scores.dtype).min)[:count]


def similar_by_counts(vectorizer: TfidfVectorizer, ids: Tensor, segment_length: int, candidates: int) -> Tensor:
    """Place of the most similar candidate of every document (documents,), by cosine of TF-IDF.

    Args:
        vectorizer: fitted, of lists of ids.
        ids: (documents, tokens), the question in the last segment.
        segment_length: ids of a segment.
        candidates: documents of a group.
    """
    halves = (ids[:, :-segment_length], ids[:, -segment_length:])
    documents, questions = (csr_matrix(vectorizer.transform(half.tolist())) for half in halves)
    best = []
    for start in range(0, len(ids), candidates):
        group = slice(start, start + candidates)
        best.append(cosine_similarity(questions[group], documents[group]).argmax(1))
    return torch.as_tensor(np.concatenate(best))
