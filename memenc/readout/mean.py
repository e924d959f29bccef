"""Mean readout: the mean of all token states of the document, as sentence encoders pool."""

from __future__ import annotations

from typing import ClassVar
from typing import final as final_class

from torch import Tensor

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class MeanReadout(Readout):
    """Mean of all token states, special tokens included."""

    gathers: ClassVar[tuple[str, ...]] = ("mean", "positions")

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Zeros for an empty document."""
        return final.document["mean"]

    def reset_parameters(self) -> None:
        """No parameters."""
