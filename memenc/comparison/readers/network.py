"""What a trainable contender must be: token ids in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from memenc.comparison.recipe import Recipe


# Is told how many tokens were read.
Told = Callable[[int], None]


def nobody(tokens: int) -> None:
    """Nobody wants to know."""


class NotRun(Exception):
    """This machine cannot run it, or it makes no sense; the message is the reason that tables show."""


class Network(nn.Module, ABC):
    """A model of whole documents given as token ids."""

    @abstractmethod
    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor | float]:
        """Logits (documents, labels) of ids (documents, tokens), and a loss to add to that of the task."""

    def read(self, ids: Tensor, tokens: int, told: Told = nobody) -> Tensor:
        """Logits as `forward`, in pieces of about so many `tokens` per document if it can go on reading."""
        logits = self(ids)[0]
        told(ids.numel())
        return logits

    def why_not(self, segments: int) -> str | None:
        """The reason why documents of so many segments cannot be read; None if they can."""
        return None

    def is_of_backbone(self, name: str) -> bool:
        """Whether a parameter belongs to the encoder that all contenders share."""
        return False

    def is_of_memory(self, name: str) -> bool:
        """Whether a parameter belongs to a memory that came new to a plain encoder."""
        return False

    def state_bytes(self, segments: int) -> int:
        """Bytes of memory that a document of so many segments leaves, in float32."""
        return 0

    @torch.no_grad()
    def answers(self, ids: Tensor, recipe: Recipe, told: Told = nobody) -> Tensor:
        """Label of every document, (documents,)."""
        self.eval()
        with torch.autocast(recipe.device, torch.bfloat16, enabled=recipe.bf16):
            logits = self.read(ids.to(recipe.device), max(1, recipe.tokens_per_call // len(ids)), told)
        return logits.argmax(1)
