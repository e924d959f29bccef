"""Facts in filler: someone went somewhere, a long time passes, and the question is where."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import FIRST_WORD, QUESTION, SEGMENT, MemoryTask, below

PLACES = ("bathroom", "hallway", "garden", "office", "bedroom", "kitchen")
NAMES = ("mary", "john", "daniel", "sandra")
VERBS = ("moved", "went", "went back", "journeyed", "travelled")
WORDS = (*PLACES, *NAMES, "moved", "went", "back", "journeyed", "travelled", "to", "the", ".", "where", "is", "?")
FILLER_WORDS = 200
# Longest fact, and the mark before it.
SHORTEST_SEGMENT = 8


class Facts(MemoryTask):
    """One fact at the start of a segment of filler, "mary went to the garden ."; at the end "where is mary ?".

    Filler words are disjoint from those of facts and as frequent as words are (Zipf). The label is the place.

    Source: Bulatov et al. 2023, Scaling Transformer to 1M tokens (arXiv:2304.11062), with filler of our own.

    Args:
        segment_length: ids of a segment, its mark included.
    """

    def __init__(self, segment_length: int = 16) -> None:
        if segment_length < SHORTEST_SEGMENT:
            raise ValueError(f"segment_length={segment_length}: a fact needs at least {SHORTEST_SEGMENT}")
        self.labels = len(PLACES)
        self.vocabulary_size = FIRST_WORD + len(WORDS) + FILLER_WORDS
        self.segment_length = segment_length

    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        device = generator.device
        rows = _filler(generator, documents, segments, self.segment_length)
        names, verbs, labels = (below(generator, len(x), documents) for x in (NAMES, VERBS, PLACES))
        rows[:, :, 0] = SEGMENT
        rows[:, -1, 0] = QUESTION
        facts = _FACTS.to(device)[names, verbs, labels]
        here = torch.arange(documents, device=device), self._place(generator, documents, segments - 1)
        told = rows[here]
        # Facts are shorter with some verbs; filler goes on behind them.
        told[:, 1 : 1 + facts.shape[1]] = torch.where(facts > 0, facts, told[:, 1 : 1 + facts.shape[1]])
        rows[here] = told
        questions = _QUESTIONS.to(device)[names]
        rows[:, -1, -questions.shape[1] :] = questions
        return rows, labels

    @abstractmethod
    def _place(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        """Segment of the fact in every document, (documents,)."""


@final
class Memorize(Facts):
    """The fact stands at the very start."""

    name = "memorize"

    def _place(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        return torch.zeros(documents, dtype=torch.long, device=generator.device)


@final
class Detect(Facts):
    """The fact stands at the start of a random segment, and must be told from filler too."""

    name = "detect"

    def _place(self, generator: torch.Generator, documents: int, segments: int) -> Tensor:
        return below(generator, segments, documents)


def _filler(generator: torch.Generator, *shape: int) -> Tensor:
    """Ids of filler words, the word of rank r as often as 1 / r says."""
    device = generator.device
    shares = (1.0 / torch.arange(1, FILLER_WORDS + 1, device=device)).cumsum(0)
    drawn = torch.rand(shape, generator=generator, device=device) * shares[-1]
    ranks = torch.searchsorted(shares, drawn, right=True).clamp(max=FILLER_WORDS - 1)
    return ranks + FIRST_WORD + len(WORDS)


def _ids(text: str) -> list[int]:
    return [FIRST_WORD + WORDS.index(word) for word in text.split()]


def _facts() -> Tensor:
    """Ids of all facts, (names, verbs, places, 7), 0 where a fact is shorter."""
    told = [[[_ids(f"{name} {verb} to the {place} .") for place in PLACES] for verb in VERBS] for name in NAMES]
    longest = max(len(fact) for by_verb in told for by_place in by_verb for fact in by_place)
    return torch.tensor([[[fact + [0] * (longest - len(fact)) for fact in by_place] for by_place in x] for x in told])


_FACTS = _facts()
_QUESTIONS = torch.tensor([_ids(f"where is {name} ?") for name in NAMES])
