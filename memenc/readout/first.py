"""First-token readout: the first token of the first segment, as BERT classifiers read it."""

from __future__ import annotations

from typing import ClassVar
from typing import final as final_class

from torch import Tensor

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class FirstReadout(Readout):
    """State of the first token of the document's first segment."""

    gathers: ClassVar[tuple[str, ...]] = ("first",)

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Zeros for an empty document."""
        return final.document["first"]

    def reset_parameters(self) -> None:
        """No parameters."""
