"""No memory: every segment is read alone."""

from __future__ import annotations

from typing import final

from torch import Tensor

from memenc.memory.base import LayerMemory
from memenc.memory.values import Segment, State


@final
class NoMemory(LayerMemory):
    """Segments alone, exactly as the plain backbone reads them; the baseline of every comparison."""

    def outlasts_a_segment(self) -> bool:
        """Nothing is kept."""
        return False

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing."""
        return {}

    def write(self, state: State, segment: Segment) -> State:
        """Nothing is kept."""
        return state

    def reset_parameters(self) -> None:
        """No parameters."""
