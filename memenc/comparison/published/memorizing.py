"""memorizing-transformers-pytorch: Memorizing Transformer (Wu et al. 2022)."""

from __future__ import annotations

import tempfile
from typing import Any, final

from memorizing_transformers_pytorch import MemorizingTransformer  # pyright: ignore[reportMissingImports]
from torch import Tensor

from memenc.comparison.published.base import FLOAT_BYTES, Shape
from memenc.comparison.readers.network import Network


@final
class Memorizing(Network):
    """A bounded archive of keys and values of the last layer in files, looked up by the package's own search.

    No gradient reaches what is archived. One key and one value, each as wide as a head, are kept for every token.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.entries = max(1, shape.budget // (2 * shape.head_dim * FLOAT_BYTES))
        self.model = MemorizingTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            depth=shape.layers,
            heads=shape.heads,
            dim_head=shape.head_dim,
            memorizing_layers=(shape.layers,),
            max_knn_memories=self.entries,
            num_retrieved_memories=min(self.entries, 8),
        )

    def forward(self, ids: Tensor) -> tuple[Tensor, float]:
        """Logits of the last token, after all segments went into the archive."""
        logits: Any = None
        with tempfile.TemporaryDirectory(prefix="archives-") as folder:
            # By itself the package writes into the working directory, where processes would wait for each other.
            self.model.knn_memories_directory = folder
            with self.model.knn_memories_context(batch_size=len(ids)) as archives:
                for segment in ids.split(self.shape.segment_length, dim=1):
                    logits = self.model(segment, knn_memories=archives)
        return logits[:, -1, : self.shape.labels], 0.0

    def state_bytes(self, segments: int) -> int:
        """What the archive holds of a document of this length."""
        held = min(self.entries, segments * self.shape.segment_length)
        return held * 2 * self.shape.head_dim * FLOAT_BYTES


def build(shape: Shape) -> Network:
    """The model."""
    return Memorizing(shape)
