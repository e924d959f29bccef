"""Short documents first: what a model learns where the signal is dense it can then find in long documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class ShortestFirst(Sampler[int]):
    """Documents in order of length in the first epoch, roughly, and in random order in all others.

    Source: the segment curriculum of Bulatov et al. 2023 (arXiv:2304.11062), here by document. In a document of
    thousands of tokens whose label hangs on one sentence, a fresh readout starts with hardly any gradient.

    Args:
        lengths: own tokens of every document.
        seed: of the random order.
        spread: lengths are compared after being multiplied by a random factor between 1 / spread and spread.
    """

    def __init__(self, lengths: Sequence[int], seed: int, spread: float = 2.0) -> None:
        self.lengths, self.seed, self.spread = list(lengths), seed, spread
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        if self.epoch > 0:
            yield from torch.randperm(len(self.lengths), generator=generator).tolist()
            return
        factors = self.spread ** (2 * torch.rand(len(self.lengths), generator=generator) - 1)
        yield from (factors * (torch.tensor(self.lengths) + 1)).argsort().tolist()
