"""The plain encoder in one row: truncation, and full attention as far as it fits."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from memenc.comparison.readers.encoder import shared_encoder
from memenc.comparison.readers.network import Network
from memenc.comparison.settings import EncoderSizes
from memenc.data.memory_tasks import MemoryTask

Kept = Literal["first", "last", "all"]


@final
class WindowNetwork(Network):
    """The shared encoder without memory on one row of tokens.

    The question, the last segment, is always in the row: cut off, nobody could answer. Of the rest, "first" and "last"
    keep as much as the window has room for, "all" reads documents no longer than the window and refuses others, as
    learned positions end there.

    Args:
        task: what is to be remembered.
        sizes: of the encoder.
        segments: of the window, the question among them.
        kept: what is read of the document.
    """

    def __init__(self, task: MemoryTask, sizes: EncoderSizes, segments: int, kept: Kept) -> None:
        super().__init__()
        self.segment_length, self.segments, self.kept = task.segment_length, segments, kept
        self.encoder = shared_encoder(task, sizes, segments * task.segment_length)
        self.head = nn.Linear(sizes.hidden, task.labels)

    def forward(self, ids: Tensor) -> tuple[Tensor, float]:
        """Logits from the first token of the question, where memory designs are read too."""
        row = self.cut(ids)
        states = self.encoder(row, torch.ones_like(row)).last_hidden_state
        return self.head(states[:, -self.segment_length]), 0.0

    def cut(self, ids: Tensor) -> Tensor:
        """What is read of the document."""
        window = self.segments * self.segment_length
        if ids.shape[1] <= window:
            return ids
        if self.kept == "last":
            return ids[:, -window:]
        question = ids[:, -self.segment_length :]
        return torch.cat([ids[:, : window - self.segment_length], question], dim=1)

    def is_of_backbone(self, name: str) -> bool:
        """All but the head."""
        return name.startswith("encoder.")

    def why_not(self, segments: int) -> str | None:
        """Full attention ends where its positions do."""
        if self.kept == "all" and segments > self.segments:
            return f"full attention has positions for {self.segments} segments, the longest it was trained on"
        return None
