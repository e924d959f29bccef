"""From short to long: what a model learns where the signal is dense it can then find in long documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

# Lengths are compared after being multiplied by a random factor between 1 / SPREAD and SPREAD.
SPREAD = 2.0


class ShortestFirst(Sampler[int]):
    """Documents in order of length in the first epoch, roughly, and in random order in all others.

    Source: the segment curriculum of Bulatov et al. 2023 (arXiv:2304.11062), here by document. In a document of
    thousands of tokens whose label hangs on one sentence, a fresh readout starts with hardly any gradient.

    Args:
        lengths: own tokens of every document.
        seed: of the random order.
    """

    def __init__(self, lengths: Sequence[int], seed: int) -> None:
        self.lengths, self.seed = list(lengths), seed
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
        factors = SPREAD ** (2 * torch.rand(len(self.lengths), generator=generator) - 1)
        yield from (factors * (torch.tensor(self.lengths) + 1)).argsort().tolist()


class SegmentCurriculum(TrainerCallback, ExportableState):
    """Grow the number of segments a recurrent memory is trained through, and draw it anew for every step.

    In each stage a step reads stretches of 1 to that many segments. A share of the steps reads single segments, because
    what a model can do within one would otherwise get lost. After the last stage documents are whole, or with `most`
    stretches of so many segments. Validation always reads whole documents: during the stages, and with `most` to the
    end, a checkpoint is chosen on documents longer than those trained on.

    Source: Bulatov et al. 2023 (arXiv:2304.11062), Rodkin et al. 2024 (arXiv:2407.04841).

    As a callback of any transformers Trainer it follows the steps, also through a resumed training; what feeds the
    model asks it for the `stretches` of documents to read. `DocumentTrainer` does so by itself.

    Args:
        stages: rising numbers of segments; may be none with `most`.
        until: share of the steps after which the stages are over; they share it equally.
        share_of_one: share of the steps that read single segments.
        seed: of the draws.
        most: segments of a document at most, after the stages too; None reads whole documents then.

    Raises:
        ValueError: stages that do not rise, or go beyond `most`, or shares beyond 0 and 1.
    """

    def __init__(
        self,
        stages: Sequence[int],
        until: float = 0.6,
        share_of_one: float = 0.1,
        seed: int = 0,
        most: int | None = None,
    ) -> None:
        if not (stages or most) or any(low >= high for low, high in pairwise((0, *stages))):
            raise ValueError(f"stages={list(stages)}: give rising numbers of segments, such as [1, 2, 4, 8]")
        if most is not None and most < max((1, *stages)):
            raise ValueError(f"most={most}: give at least 1 segment, and no fewer than stages={list(stages)} end with")
        if not (0.0 < until <= 1.0 and 0.0 <= share_of_one < 1.0):
            raise ValueError(f"until={until} and share_of_one={share_of_one} are shares; give numbers between 0 and 1")
        self.stages, self.until = list(stages), until
        self.share_of_one, self.seed, self.most = share_of_one, seed, most
        self.stage, self.step = 0, 0

    @property
    def segments(self) -> int | None:
        """Segments of this step's documents; None if they are whole."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        one, number = torch.rand(2, generator=generator).tolist()
        if one < self.share_of_one:
            return 1
        over = self.stage >= len(self.stages)
        return self.most if over else 1 + int(number * self.stages[self.stage])

    def stretches(self, lengths: Sequence[int], tokens_per_segment: int, before: int = 0) -> list[tuple[int, int]]:
        """First token of the stretch that this step reads of every document, and the token behind its last.

        Args:
            lengths: tokens of the documents.
            tokens_per_segment: own tokens of a segment.
            before: documents of the step that come before these, in other processes.
        """
        segments = self.segments
        if segments is None:
            return [(0, length) for length in lengths]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        for _ in range(before):
            torch.randint(2, (), generator=generator)
        longest, found = segments * tokens_per_segment, []
        for length in lengths:
            start = int(torch.randint(max(0, length - longest) + 1, (), generator=generator))
            found.append((start, min(length, start + longest)))
        return found

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow the steps."""
        self.step = state.global_step
        done = state.global_step / max(1, state.max_steps)
        self.stage = min(len(self.stages), int(done / self.until * len(self.stages)))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        names = ("stages", "until", "share_of_one", "seed", "most")
        attributes = {"stage": self.stage, "step": self.step}
        return {"args": {name: getattr(self, name) for name in names}, "attributes": attributes}
