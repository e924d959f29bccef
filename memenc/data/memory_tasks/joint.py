"""Several tasks as one: what one document asks for is learned with the help of what another does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import final

import torch
from torch import Tensor

from memenc.data.memory_tasks.babi import OneFact, ThreeArgumentRelations, ThreeFacts, TwoFacts
from memenc.data.memory_tasks.base import MemoryTask, Split
from memenc.data.memory_tasks.relations import TwoArgumentRelations
from memenc.data.memory_tasks.vocabulary import FIRST_WORD

STORIES: dict[str, Callable[[int, Split], MemoryTask]] = {
    kind.name: kind for kind in (OneFact, TwoFacts, ThreeFacts, TwoArgumentRelations, ThreeArgumentRelations)
}


@final
class JointStories(MemoryTask):
    """Documents of the five tasks of bAbI in turn, each with a question of its own: trained jointly, told as the mean.

    Two steps of binding are learned late or never where nothing is right before both are; the tasks of one step teach
    theirs on the way. Labels are balanced within each task.

    Source: joint training on the tasks of bAbI, as in Sukhbaatar et al. 2015, End-To-End Memory Networks
    (arXiv:1503.08895).

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler, and other names and things where those are no labels.
        tasks: names of those that take part.

    Raises:
        ValueError: no such task, or one that stands there twice, or what the tasks refuse.
    """

    name = "babi"
    what_to_keep = "The places of all people and things in their order, who has what, who gave it, and how places lie."

    def __init__(self, segment_length: int = 25, split: Split = "train", tasks: Sequence[str] = tuple(STORIES)) -> None:
        unknown = [name for name in tasks if name not in STORIES]
        if unknown or not tasks or len(set(tasks)) < len(tasks):
            raise ValueError(f"babi: tasks={list(tasks)}; give some of {', '.join(STORIES)}, each once")
        self.segment_length = segment_length
        self.parts = tuple(STORIES[name](segment_length, split) for name in tasks)
        own = [part.words[FIRST_WORD:] for part in self.parts]
        self.words = (*[""] * FIRST_WORD, *dict.fromkeys(chain.from_iterable(own)))
        self.classes = tuple(dict.fromkeys(chain.from_iterable(part.classes for part in self.parts)))
        numbers = {word: number for number, word in enumerate(self.words) if word}
        self._ids = [torch.tensor([*range(FIRST_WORD), *map(numbers.__getitem__, each)]) for each in own]
        self._labels = [torch.tensor(list(map(self.classes.index, part.classes))) for part in self.parts]

    @property
    def chance(self) -> float:
        """The mean of all tasks."""
        return sum(part.chance for part in self.parts) / len(self.parts)

    @property
    def least_segments(self) -> int:
        """What the task with most to tell needs."""
        return max(part.least_segments for part in self.parts)

    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        device = generator.device
        rows = torch.empty(documents, segments, self.segment_length, dtype=torch.long, device=device)
        labels = torch.empty(documents, dtype=torch.long, device=device)
        numbers = self.part_of(documents).to(device)
        for number, part in enumerate(self.parts):
            here = (numbers == number).nonzero().squeeze(1)
            told, answers = part.batch(generator, len(here), segments)
            rows[here] = self._ids[number].to(device)[told].view(-1, segments, self.segment_length)
            labels[here] = self._labels[number].to(device)[answers]
        return rows, labels
