"""recurrent-memory-transformer-pytorch: Recurrent Memory Transformer (Bulatov et al. 2022)."""

from __future__ import annotations

from typing import Any, final

from recurrent_memory_transformer_pytorch import (  # pyright: ignore[reportMissingImports]
    RecurrentMemoryTransformer,
)
from torch import Tensor

from memenc.comparison.published.base import SegmentedNetwork, Shape
from memenc.comparison.readers.network import Network


@final
class RecurrentMemory(SegmentedNetwork):
    """As many memory tokens as the budget has room for, without the window of the package's Transformer-XL option.

    The package's hyper-connections are no part of the design and left out.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.model = RecurrentMemoryTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            depth=shape.layers,
            heads=shape.heads,
            dim_head=shape.head_dim,
            seq_len=shape.segment_length,
            num_memory_tokens=shape.vectors(),
            use_xl_memories=False,
            num_residual_streams=1,
        )

    def step(self, ids: Tensor, memory: Any) -> tuple[Tensor, Any, Tensor | float]:
        """One segment."""
        logits, memory, _ = self.model(ids, memory)
        return logits, memory, 0.0


def build(shape: Shape) -> Network:
    """The model."""
    return RecurrentMemory(shape)
