"""What adapters share: the shape of the model, and reading segment by segment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from memenc.comparison.readers.network import Network, NotRun
from memenc.comparison.settings import EncoderSizes, Testing
from memenc.data.memory_tasks import MemoryTask

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Shape:
    """Sizes of a model that is comparable with ours.

    Args:
        vocabulary: ids.
        labels: classes; the first ids of the vocabulary stand for them.
        segment_length: tokens.
        layers: of attention.
        hidden: numbers per token state.
        heads: of attention.
        budget: bytes of one document's state.
        most_tokens: longest document for what does not read in pieces.
    """

    vocabulary: int
    labels: int
    segment_length: int
    layers: int
    hidden: int
    heads: int
    budget: int
    most_tokens: int

    @classmethod
    def of(cls, task: MemoryTask, sizes: EncoderSizes, budget: int | None, testing: Testing) -> Self:
        """Shape for a task."""
        assert budget is not None
        vocabulary = max(task.vocabulary_size, task.labels)
        shared = (sizes.layers, sizes.hidden, sizes.heads, budget, testing.full_attention_tokens)
        return cls(vocabulary, task.labels, task.segment_length, *shared)

    @property
    def head_dim(self) -> int:
        """Numbers per head."""
        return self.hidden // self.heads

    def vectors(self, per_entry: int = 1) -> int:
        """How many entries of so many hidden vectors the budget has room for.

        Raises:
            NotRun: not for one.
        """
        entries = self.budget // (per_entry * self.hidden * FLOAT_BYTES)
        if entries < 1:
            raise NotRun(f"a budget of {self.budget:,} bytes has no room for one entry of this design")
        return entries


class SegmentedNetwork(Network):
    """A model that reads one segment at a time and hands its memory on.

    Args:
        shape: of the model.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def step(self, ids: Tensor, memory: Any) -> tuple[Tensor, Any, Tensor | float]:
        """Logits (documents, tokens, vocabulary) of one segment, the memory after it, and a loss beside the task's."""

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor | float]:
        """Logits of the last token."""
        logits, _, beside = self.read_all(ids)
        return logits, beside

    def read_all(self, ids: Tensor) -> tuple[Tensor, Any, Tensor | float]:
        """Logits (documents, labels) of the last token, the memory in the end, and the mean loss beside."""
        segments = ids.split(self.shape.segment_length, dim=1)
        memory, logits, losses = None, None, 0.0
        for segment in segments:
            logits, memory, beside = self.step(segment, memory)
            losses = losses + beside
        assert logits is not None
        return logits[:, -1, : self.shape.labels], memory, losses / len(segments)

    @torch.no_grad()
    def state_bytes(self, segments: int) -> int:
        """All tensors that are handed on."""
        ids = torch.ones(1, segments * self.shape.segment_length, dtype=torch.long, device=self.device())
        return sum(tensor.nbytes for tensor in tensors_in(self.read_all(ids)[1]))

    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from tensors_in(item)
