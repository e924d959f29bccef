"""titans-pytorch: Titans, memory as context (Behrouz et al. 2025)."""

from __future__ import annotations

from typing import final

import torch
from titans_pytorch import MemoryAsContextTransformer, MemoryMLP  # pyright: ignore[reportMissingImports]
from torch import Tensor

from memenc.comparison.published.base import Shape, tensors_in
from memenc.comparison.readers.network import Network


@final
class Titans(Network):
    """A neural memory of one matrix in the last layer; it has one size, whatever the budget.

    The package hands no state from call to call but token by token, so documents are read as a whole and bounded.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = MemoryAsContextTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            depth=shape.layers,
            heads=shape.heads,
            dim_head=shape.head_dim,
            segment_len=shape.segment_length,
            num_persist_mem_tokens=4,
            num_longterm_mem_tokens=4,
            num_residual_streams=1,
            neural_memory_layers=(shape.layers,),
            neural_memory_model=MemoryMLP(dim=shape.hidden, depth=1),
        )

    def forward(self, ids: Tensor) -> tuple[Tensor, float]:
        """Logits of the last token."""
        return self.model(ids)[:, -1, : self.shape.labels], 0.0

    def why_not(self, segments: int) -> str | None:
        """Memory of reading grows with the document."""
        if segments * self.shape.segment_length > self.shape.most_tokens:
            return f"titans-pytorch reads documents as a whole; the limit is {self.shape.most_tokens:,} tokens"
        return None

    @torch.no_grad()
    def state_bytes(self, segments: int) -> int:
        """The weights of the neural memory and their momentum after the last segment."""
        device = next(self.parameters()).device
        ids = torch.ones(1, segments * self.shape.segment_length, dtype=torch.long, device=device)
        _, (_, _, memories) = self.model(ids, return_cache=True)
        kept = [memory.states for memory in memories if memory is not None]
        return sum(tensor.nbytes for tensor in tensors_in(kept))


def build(shape: Shape) -> Network:
    """The model."""
    return Titans(shape)
