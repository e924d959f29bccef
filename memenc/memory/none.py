"""No memory: every segment is read alone."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from memenc.memory.base import Entries, LayerMemory, Segment, State


@final
class NoMemory(LayerMemory):
    """Segments alone, exactly as the plain backbone reads them; the baseline of every comparison."""

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing."""
        return {}

    def read(self, state: State) -> Entries | None:
        """No entries."""
        return None

    def write(self, state: State, segment: Segment) -> State:
        """Nothing is kept."""
        return state

    def bias(self) -> Tensor | None:
        """No entries, no bias."""
        return None

    def positions(self, device: torch.device) -> Tensor | None:
        """No entries, no positions."""
        return None

    def reset_parameters(self) -> None:
        """No parameters."""
