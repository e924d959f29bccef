"""Parameters in groups of one learning rate and one weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import nn

from memenc.memory.base import GATES


class Rates(Protocol):
    """Settings of training that all kinds of it have."""

    @property
    def gate_learning_rate(self) -> float:
        """Of the memories' gates."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of matrices outside memories."""
        ...


def grouped(
    model: nn.Module, settings: Rates, rate_of: Callable[[str], float], is_of_memory: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Groups of the parameters that learn, as torch's optimisers take them.

    Gates, biases and slot identities of memories shrink to nothing under weight decay, and gates, single numbers that
    travel far, hardly move at the rate of a matrix.

    Args:
        model: whose parameters they are.
        settings: of gates and of weight decay.
        rate_of: learning rate of a parameter that is no gate, by name.
        is_of_memory: whether a parameter belongs to a memory, by name.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            memory = is_of_memory(name)
            rate = settings.gate_learning_rate if memory and name.endswith(GATES) else rate_of(name)
            decay = settings.weight_decay if parameter.dim() > 1 and not memory else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": part, "lr": rate, "weight_decay": decay} for (rate, decay), part in groups.items()]
