"""Last-segment readout: the first token of the last segment, which has seen the memory of all before."""

from __future__ import annotations

from typing import final as final_class

from torch import Tensor

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class LastReadout(Readout):
    """State of the first token of the document's last segment."""

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Zeros for an empty document."""
        return final.document["last"]

    def reset_parameters(self) -> None:
        """No parameters."""
