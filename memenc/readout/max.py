"""Maximum readout: the largest value of every dimension over all token states of the document."""

from __future__ import annotations

from typing import ClassVar
from typing import final as final_class

import torch
from torch import Tensor

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class MaxReadout(Readout):
    """Largest value of every dimension over all token states."""

    gathers: ClassVar[tuple[str, ...]] = ("maximum", "positions")

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Zeros for an empty document, whose maximum is minus infinity."""
        empty = final.document["positions"] == 0
        return torch.where(empty[:, None], 0.0, final.document["maximum"])

    def reset_parameters(self) -> None:
        """No parameters."""
