"""Gates of memories: where they stand, and whether they can still move."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from memenc.memory.base import GATES
from memenc.model import MemencModel

# A sigmoid less steep than this (beyond a logit of 6.9) learns a hundredth as fast as one at the start share of 0.05.
FLAT = 1e-3


@dataclass(frozen=True)
class Gate:
    """One parameter that opens or closes a memory.

    Args:
        name: of the parameter.
        low: smallest value.
        high: largest value.
        opening: mean of the sigmoid of logits, None for a bias.
        saturated: share of logits at which the sigmoid is flat, None for a bias.
    """

    name: str
    low: float
    high: float
    opening: float | None = None
    saturated: float | None = None


def memory_parameters(model: MemencModel) -> dict[str, nn.Parameter]:
    """Parameters of memories and row tokens, by their name in the encoder."""
    own = ("memories.", "top_memory.", "row_tokens.")
    return {name: parameter for name, parameter in model.encoder.named_parameters() if name.startswith(own)}


def gates_of(model: MemencModel) -> tuple[Gate, ...]:
    """All gates that learn; logits of a softmax (weights of ages) are measured like the others."""
    parameters = memory_parameters(model)
    return tuple(_gate(name, x.detach()) for name, x in parameters.items() if name.endswith(GATES) and x.requires_grad)


def _gate(name: str, values: Tensor) -> Gate:
    low, high = float(values.min()), float(values.max())
    if not name.endswith("_logits"):
        return Gate(name, low, high)
    # In double precision, where a sigmoid is flat but not yet exactly 1.
    opening = values.double().sigmoid()
    saturated = (opening * (1 - opening) < FLAT).double().mean()
    return Gate(name, low, high, float(opening.mean()), float(saturated))
