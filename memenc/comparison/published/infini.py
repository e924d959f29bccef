"""infini-transformer-pytorch: Infini-attention (Munkhdalai et al. 2024)."""

from __future__ import annotations

from typing import Any, final

from infini_transformer_pytorch import InfiniTransformer  # pyright: ignore[reportMissingImports]
from torch import Tensor

from memenc.comparison.published.base import SegmentedNetwork, Shape
from memenc.comparison.readers.network import Network


@final
class Infini(SegmentedNetwork):
    """A matrix per head and layer, written by the delta rule; it has one size, whatever the budget."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.model = InfiniTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            depth=shape.layers,
            heads=shape.heads,
            dim_head=shape.head_dim,
            use_mem_delta_rule=True,
        )

    def step(self, ids: Tensor, memory: Any) -> tuple[Tensor, Any, Tensor | float]:
        """One segment."""
        logits, _, memory = self.model(ids, past_memories=memory, return_new_memories=True)
        return logits, memory, 0.0


def build(shape: Shape) -> Network:
    """The model."""
    return Infini(shape)
