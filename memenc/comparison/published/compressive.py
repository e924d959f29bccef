"""compressive-transformer-pytorch: Compressive Transformer (Rae et al. 2020)."""

from __future__ import annotations

from typing import Any, final

from compressive_transformer_pytorch import CompressiveTransformer  # pyright: ignore[reportMissingImports]
from torch import Tensor

from memenc.comparison.published.base import SegmentedNetwork, Shape
from memenc.comparison.readers.network import Network


@final
class Compressive(SegmentedNetwork):
    """Memory of one segment, which the package asks for at least, and compressed memory with the rest of the budget.

    One layer has a memory, the last, as in ours. The package cuts gradient between segments and trains the compression
    by its own loss. Where the budget is less than a segment its state is larger than the budget, as the table shows.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        length = shape.segment_length
        self.model = CompressiveTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            seq_len=length,
            depth=shape.layers,
            heads=shape.heads,
            memory_layers=[shape.layers],
            mem_len=length,
            cmem_len=max(-(-length // 4), shape.vectors() - length),
            cmem_ratio=4,
        )

    def step(self, ids: Tensor, memory: Any) -> tuple[Tensor, Any, Tensor | float]:
        """One segment."""
        logits, memory, beside = self.model(ids, memory)
        return logits, memory, beside


def build(shape: Shape) -> Network:
    """The model."""
    return Compressive(shape)
