"""What a model gives back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils.generic import ModelOutput

from memenc.state import MemoryState


@dataclass
class MemencOutput(ModelOutput):
    """Output of :class:`MemencModel`.

    Args:
        last_hidden_state: (batch, tokens, hidden) state of every input token, zeros at padding; None if not asked for.
        pooler_output: (batch, hidden) context representation.
        memory: state to go on reading with.
        segment_states: (batch, segments, hidden) mean token state of every segment of this call, the first being the
            one that was not finished before; zeros where a document has no such segment; None if not asked for.
        auxiliary_loss: scalar, mean over documents, of designs that train themselves beside the task; else None.
        hidden_states: if asked for, layers + 1 times (batch, tokens, hidden): what enters the first layer, and what
            every layer gives; zeros at padding.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    memory: MemoryState | None = None
    segment_states: Tensor | None = None
    auxiliary_loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
