"""block-recurrent-transformer-pytorch: Block-Recurrent Transformer (Hutchins et al. 2022)."""

from __future__ import annotations

from typing import Any, final

import torch
from block_recurrent_transformer_pytorch import BlockRecurrentTransformer  # pyright: ignore[reportMissingImports]
from torch import Tensor

from memenc.comparison.published.base import FLOAT_BYTES, Shape, tensors_in
from memenc.comparison.readers.network import Network, Told, nobody

# Segments of one call; gradient flows through a call and is cut by the package after it.
SEGMENTS_PER_CALL = 4_096


@final
class BlockRecurrent(Network):
    """State vectors for the budget, beside the window of one block that the package always keeps in every layer.

    The window alone takes its bytes, so that the state is larger than the budget where that is small.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        # Keys and values of the window have one head here.
        window = 2 * shape.layers * shape.segment_length * shape.head_dim * FLOAT_BYTES
        vector = shape.hidden * FLOAT_BYTES
        self.model = BlockRecurrentTransformer(
            num_tokens=shape.vocabulary,
            dim=shape.hidden,
            depth=shape.layers,
            heads=shape.heads,
            dim_head=shape.head_dim,
            block_width=shape.segment_length,
            max_seq_len=SEGMENTS_PER_CALL * shape.segment_length,
            num_state_vectors=max(1, (shape.budget - window) // vector),
            recurrent_layers=(shape.layers,),
        )

    def forward(self, ids: Tensor) -> tuple[Tensor, float]:
        """Logits of the last token."""
        return self.model(ids)[0][:, -1, : self.shape.labels], 0.0

    def read(self, ids: Tensor, tokens: int, told: Told = nobody) -> Tensor:
        """In pieces of whole segments."""
        return self.read_on(ids, tokens, told)[0]

    def read_on(self, ids: Tensor, tokens: int, told: Told = nobody) -> tuple[Tensor, Any]:
        """Logits of the last token, and what is handed on."""
        length, xl, states, logits = self.shape.segment_length, [], [], None
        for piece in ids.split(max(1, tokens // length) * length, dim=1):
            logits, xl, states = self.model(piece, xl_memories=xl, states=states, return_memories_and_states=True)
            told(piece.numel())
        assert logits is not None
        return logits[:, -1, : self.shape.labels], (xl, states)

    @torch.no_grad()
    def state_bytes(self, segments: int) -> int:
        """Window and state vectors."""
        length = self.shape.segment_length
        device = next(self.parameters()).device
        ids = torch.ones(1, segments * length, dtype=torch.long, device=device)
        return sum(tensor.nbytes for tensor in tensors_in(self.read_on(ids, length)[1]))


def build(shape: Shape) -> Network:
    """The model."""
    return BlockRecurrent(shape)
