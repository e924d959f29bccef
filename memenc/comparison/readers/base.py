"""What a cell measures: something that is trained once and then answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memenc.comparison.cells import Cell
from memenc.comparison.checkpoints import Checkpoints
from memenc.comparison.readers.network import Network, Told, nobody
from memenc.comparison.readers.peak import PeakMemory
from memenc.comparison.recipe import SIDE_BY_SIDE
from memenc.comparison.training import Training
from memenc.data.memory_tasks import MemoryTask
from memenc_kernels.dispatch import use_implementation

Tell = Callable[[float], None]
# Segments behind which the peak is no longer counted, which takes many times as long as reading.
MOST_COUNTED = 4_096


class Reader(ABC):
    """A model of documents.

    Args:
        cell: what it is made for.
        task: gives the documents.
    """

    def __init__(self, cell: Cell, task: MemoryTask) -> None:
        self.cell, self.task = cell, task

    @abstractmethod
    def train(self, tell: Tell, checkpoints: Checkpoints) -> dict[str, Any]:
        """Train within the budget, telling the share that is done; returns how it went.

        Args:
            tell: is told the share.
            checkpoints: where a training goes on from, and is kept.
        """

    @abstractmethod
    def answers(self, ids: Tensor, told: Told = nobody) -> Tensor:
        """Label of every document (documents,) for ids (documents, tokens), telling how many tokens were read."""

    @abstractmethod
    def cost(self, segments: int) -> dict[str, int | float | None]:
        """Operations per token of documents of so many segments, and parameters; None: not counted."""

    @abstractmethod
    def memory(self, segments: int) -> dict[str, int | None]:
        """Bytes of one document's state after so many segments, and the peak of all tensors while it is read."""

    def why_not(self, segments: int) -> str | None:
        """The reason why documents of so many segments cannot be read; None if they can."""
        return None

    def weights(self) -> dict[str, Tensor]:
        """What training changed, by name; empty if it is trained in a moment and not worth keeping."""
        return {}

    def take(self, weights: dict[str, Tensor]) -> bool:
        """Be what was trained before, if these weights fit; else False, and nothing is changed."""
        return False


@final
class NetworkReader(Reader):
    """A network, trained by the recipe.

    Args:
        cell: what it is made for.
        task: gives the documents.
        network: with fresh weights.
    """

    def __init__(self, cell: Cell, task: MemoryTask, network: Network) -> None:
        super().__init__(cell, task)
        self.network = network.to(cell.training.device)

    def train(self, tell: Tell, checkpoints: Checkpoints) -> dict[str, Any]:
        """By the recipe."""
        seed_of = partial(self.cell.seed_of, shared=True)
        return Training(self.network, self.task, self.cell.training, seed_of).run(tell, checkpoints)

    def weights(self) -> dict[str, Tensor]:
        """Of the network."""
        return self.network.state_dict()

    def take(self, weights: dict[str, Tensor]) -> bool:
        """Into the network; weights of an earlier version of the code may not fit."""
        own = self.network.state_dict()
        fits = {name: own[name].shape for name in own} == {name: weights[name].shape for name in weights}
        if fits:
            self.network.load_state_dict(weights)
        return fits

    def answers(self, ids: Tensor, told: Told = nobody) -> Tensor:
        """In pieces, where the network can go on reading."""
        return self.network.answers(ids, self.cell.training, told)

    def why_not(self, segments: int) -> str | None:
        """As the network says."""
        return self.network.why_not(segments)

    @torch.no_grad()
    def cost(self, segments: int) -> dict[str, int | float | None]:
        """Counted by reading one document; a multiplication and an addition count as two operations."""
        ids = self._document(segments)
        # What fused kernels do is hidden from the counter.
        with use_implementation("torch"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self.network.read(ids, ids.shape[1])
        return {
            "flops_per_token": counter.get_total_flops() / ids.shape[1],
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
        }

    @torch.no_grad()
    def memory(self, segments: int) -> dict[str, int | None]:
        """Counted tensor by tensor, in pieces as in the test; what operations take for themselves is not seen."""
        ids = self._document(min(segments, MOST_COUNTED))
        with PeakMemory() as counter:
            self.network.read(ids, max(1, self.cell.training.tokens_per_call // SIDE_BY_SIDE))
        return {"state_bytes": self.network.state_bytes(segments), "peak_bytes": counter.peak}

    def _document(self, segments: int) -> Tensor:
        self.network.eval()
        return torch.ones(1, segments * self.task.segment_length, dtype=torch.long, device=self.cell.training.device)
