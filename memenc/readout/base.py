"""The contract of a readout: final memory in, one vector per document out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from memenc.memory import LayerMemory, State
from memenc.memory.document import DocumentMemory


@dataclass(frozen=True)
class FinalMemory:
    """What a readout may use, all of it part of the final state.

    Args:
        document: tensors of the document memory, unfinished segment included.
        top: tensors of the design over the top layer, full segments only.
        current: states (batch, tokens, hidden) and valid (batch, tokens) of the unfinished segment.
    """

    document: State
    top: State
    current: State


class Readout(nn.Module, ABC):
    """From the final memory to one context representation.

    Args:
        hidden: numbers per token state, and of the result.
        queries: learned queries of the document memory.
    """

    # Which learned parts of the final memory it reads; the others need no training.
    reads_attention: ClassVar[bool] = False
    reads_top: ClassVar[bool] = False
    # Tensors of the document memory that say of the whole document what it reads; all of them where it reads attention.
    gathers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, hidden: int, queries: int) -> None:
        super().__init__()
        self.hidden, self.queries = hidden, queries

    @abstractmethod
    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """The context representation (batch, hidden) of what these two memories wrote; finite for an empty document."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Set parameters to their start."""
