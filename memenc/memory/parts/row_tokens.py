"""Tokens that stand in every row beside the segment's own, and go through all layers of the backbone with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memenc.memory.values import State


@dataclass(frozen=True)
class RowSizes:
    """What row tokens must know of the backbone.

    Args:
        width: numbers per input embedding.
        hidden: numbers per token state of the last layer.
        causal: a token sees no later one, so that what is to see the segment must stand behind it.
    """

    width: int
    hidden: int
    causal: bool


@dataclass(frozen=True)
class Standing:
    """Embeddings beside a segment: `before` and `after` (batch, tokens, width); `valid` (batch, before + after).

    `weight` (batch,) is added to the logits with which the segment sees them, document by document; None for nothing.
    """

    before: Tensor
    after: Tensor
    valid: Tensor
    weight: Tensor | None = None

    @property
    def count(self) -> int:
        """All of them."""
        return self.before.shape[1] + self.after.shape[1]


class RowTokens(nn.Module, ABC):
    """Where a design's row tokens come from: from parameters, and from what the design keeps over the top layer."""

    # The state over the top layer comes back in at the bottom: segments cannot go through the backbone together.
    streams: ClassVar[bool]
    # Parameters that stand in the row of a document of which nothing was read: what its memory starts with.
    starts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, sizes: RowSizes) -> None:
        super().__init__()
        self.sizes = sizes

    @abstractmethod
    def stand(self, top: State) -> Standing:
        """What stands in the next row of every document, given the state over the top layer."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Set parameters to their start."""


def learned(count: int, width: int) -> nn.Parameter:
    """Embeddings to be learned, (count, width)."""
    return nn.Parameter(torch.empty(count, width))


def reset_embeddings(parameter: nn.Parameter) -> None:
    """As large as embeddings usually are, and different from each other."""
    nn.init.normal_(parameter, std=0.02)
