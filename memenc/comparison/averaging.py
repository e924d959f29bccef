"""Averaged weights: a copy of a network that follows it at a distance, and is what is tested."""

from __future__ import annotations

import copy
from typing import Any

import torch

from memenc.comparison.readers.network import Network, NotRun


class Average:
    """Exponential moving average of a network's weights.

    Steps of one size leave a noise in the weights that one segment hardly shows and hundreds of them do. Buffers are
    taken over as they are, where they have the same shape.

    Source: Polyak and Juditsky 1992; Morales-Brotons et al. 2024 (arXiv:2411.18704).

    Args:
        network: to follow.
        decay: what is kept of the average at each step; the first step is taken as it is.

    Raises:
        NotRun: the network cannot be copied.
    """

    def __init__(self, network: Network, decay: float) -> None:
        try:
            self.network = copy.deepcopy(network)
        except Exception as error:  # packages of others may hold anything
            raise NotRun(f"its weights cannot be averaged, as it cannot be copied: {error}") from error
        self.decay, self.steps = decay, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"network": dict(self.network.state_dict()), "steps": self.steps}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]

    @torch.no_grad()
    def follow(self, network: Network) -> None:
        """Take a step in."""
        keep = self.decay if self.steps else 0.0
        self.steps += 1
        averaged = dict(self.network.named_parameters())
        for name, weights in network.named_parameters():
            averaged[name].lerp_(weights, 1 - keep)
        buffers = dict(self.network.named_buffers())
        for name, buffer in network.named_buffers():
            there = buffers.get(name)
            if there is not None and there.shape == buffer.shape:
                there.copy_(buffer)
