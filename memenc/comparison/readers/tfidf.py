"""TF-IDF over token ids and their pairs, with logistic regression: no neural network, no order beyond pairs."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, final

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from memenc.comparison.cells import Cell
from memenc.comparison.checkpoints import Checkpoints
from memenc.comparison.readers.base import Reader, Tell
from memenc.comparison.readers.embedding import similar_by_counts
from memenc.comparison.readers.network import Told, nobody
from memenc.comparison.recipe import longest_trained
from memenc.data.memory_tasks import MemoryTask

# More documents hardly help a linear model; the encoders see more of them.
MOST_DOCUMENTS = 10_000
LENGTHS = 20


@final
class TfidfReader(Reader):
    """Trained on as many documents as the others see, at most 10,000, of all lengths up to the longest of training."""

    def __init__(self, cell: Cell, task: MemoryTask) -> None:
        super().__init__(cell, task)
        # The recipe of memenc.baselines.tfidf, with ids in the place of words.
        words: Any = ids_and_pairs
        self.head = LogisticRegression(C=10.0, max_iter=500)
        self.vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True)
        self.pipeline = make_pipeline(self.vectorizer, self.head)

    def train(self, tell: Tell, checkpoints: Checkpoints) -> dict[str, Any]:
        """On documents of random lengths, in a moment."""
        recipe, draws = self.cell.training, random.Random(self.cell.seed_of("curriculum"))
        generator = torch.Generator().manual_seed(self.cell.seed_of("training"))
        longest = longest_trained(recipe, self.task)
        documents = min(MOST_DOCUMENTS, recipe.steps * recipe.documents)
        texts, labels = [], []
        for _ in range(LENGTHS):
            count = max(1, documents // LENGTHS)
            ids, truth = self.task.batch(generator, count, draws.randint(self.task.least_segments, longest))
            texts += ids.tolist()
            labels += truth.tolist()
        # What is asked for by its vector needs no labels.
        self.vectorizer.fit(texts) if self.task.candidates else self.pipeline.fit(texts, labels)
        tell(1.0)
        return {"trained_segments": longest, "training_documents": len(texts)}

    def answers(self, ids: Tensor, told: Told = nobody) -> Tensor:
        """As the logistic regression says, or the cosines of what stands together as candidates."""
        told(ids.numel())
        if self.task.candidates:
            return similar_by_counts(self.vectorizer, ids, self.task.segment_length, self.task.candidates)
        return torch.as_tensor(self.pipeline.predict(ids.tolist()))

    def cost(self, segments: int) -> dict[str, int | float | None]:
        """Parameters alone; it has few operations."""
        parameters = len(self.vectorizer.vocabulary_) if self.task.candidates else self.head.coef_.size
        return {"flops_per_token": None, "parameters": parameters}

    def memory(self, segments: int) -> dict[str, int | None]:
        """It has no state, and no tensors to be counted."""
        return {"state_bytes": 0, "peak_bytes": None}


def ids_and_pairs(ids: list[int]) -> list[str]:
    """Every id and every pair of neighbours, as words."""
    words = [str(number) for number in ids]
    return words + [f"{first} {second}" for first, second in pairwise(words)]
