"""Attention readout: what a few learned queries find in the whole document."""

from __future__ import annotations

from typing import final as final_class

import torch
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class AttentionReadout(Readout):
    """Mean over the learned queries' poolings, plus a learned mixture of them that starts at zero.

    Source: attention pooling of Yang et al. 2016, Hierarchical Attention Networks, over all tokens of the document.
    """

    reads_attention = True

    def __init__(self, hidden: int, queries: int) -> None:
        super().__init__(hidden, queries)
        self.mixture = nn.Parameter(torch.empty(hidden, queries * hidden))
        self.reset_parameters()

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Pool the whole document."""
        pooled = document_memory.pooled(final.document)
        return pooled.mean(1) + functional.linear(pooled.flatten(1), self.mixture.to(pooled.dtype))

    def reset_parameters(self) -> None:
        """The learned mixture starts at zero."""
        nn.init.zeros_(self.mixture)
