"""How many facts a state holds at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memenc.diagnostics.knockout import measured
from memenc.diagnostics.probing.facts import Facts, filler, planted
from memenc.diagnostics.probing.linear_probe import Score, probe_right
from memenc.diagnostics.probing.reading import Told, features, parts_of, read, silence
from memenc.model import HasMemenc, MemencModel, memenc_of

# Each fact says one of two things.
CHANCE = 0.5


@dataclass(frozen=True)
class Capacity:
    """Recall of facts by their number.

    Args:
        documents: documents for each number.
        segments: of each document, whatever the number of facts.
        facts: numbers of facts told in one document.
        recall: for every part, and the context vector ("vector"), the accuracy at each number; guessing gives 0.5.
    """

    documents: int
    segments: int
    facts: tuple[int, ...]
    recall: dict[str, tuple[Score, ...]]

    @property
    def held(self) -> dict[str, tuple[float, ...]]:
        """Facts held: their number times the recall beyond guessing, where that is more than three standard errors."""
        return {
            name: tuple(
                count * (score.mean - CHANCE) / (1 - CHANCE) if score.mean - CHANCE > 3 * score.error else 0.0
                for count, score in zip(self.facts, scores, strict=True)
            )
            for name, scores in self.recall.items()
        }


@torch.no_grad()
def capacity(
    model: MemencModel | HasMemenc,
    documents: Tensor,
    facts: Facts,
    numbers: Sequence[int] = (1, 2, 4, 8),
    count: int = 48,
    seed: int = 0,
    told: Told = silence,
) -> Capacity:
    """Tell documents several facts and look for all of them at the end, with linear probes.

    Every fact is a sentence out of a pair of its own, in a segment of its own at a random place; the question is which
    one was told. All documents have as many segments as the largest number, so that distance does not grow with it.

    Args:
        model: a MemencModel, or a head model, whose `memenc` is taken.
        documents: (documents, segments, tokens) whose segments surround the facts.
        facts: of which pairs are made.
        numbers: of facts in one document, rising.
        count: documents for each number.
        seed: of all that is random.
        told: is called with how far it is.

    Raises:
        ValueError: too few different facts, or facts too long for a segment.
    """
    encoder = memenc_of(model)
    parts, generator = parts_of(encoder), torch.Generator().manual_seed(seed)
    segments, pairs = max(2, *numbers), _pairs(facts.fitting(documents.shape[2]), max(numbers), generator)
    right: dict[str, list[list[np.ndarray]]] = {name: [] for name in (*(part.name for part in parts), "all", "vector")}
    with measured(encoder):
        for number in numbers:
            told(f"capacity: {number} of {numbers[-1]} facts")
            reading, said = _telling(filler(documents, count, segments, generator), pairs[:number], generator)
            state = read(model, reading)
            held = {part.name: features(encoder, state, part) for part in parts}
            held |= {"all": torch.cat(list(held.values()), dim=1), "vector": encoder.read_out(state)}
            for name, numbers_held in held.items():
                right[name].append([probe_right(numbers_held, which, seed) for which in said.T.tolist()])
    recall = {name: tuple(Score.of(np.stack(each)) for each in found) for name, found in right.items()}
    return Capacity(count, segments, tuple(numbers), recall)


def _pairs(facts: Facts, count: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Pairs of facts, all different."""
    different = list({tuple(ids.tolist()): ids for ids in facts.ids}.values())
    if len(different) < 2 * count:
        raise ValueError(
            f"{len(different)} different facts: {count} at once need {2 * count}; give more, or fewer at once"
        )
    order = torch.randperm(len(different), generator=generator).tolist()
    return [(different[order[2 * index]], different[order[2 * index + 1]]) for index in range(count)]


def _telling(
    segments: Tensor, pairs: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Documents with one fact of each pair, and which one it is, (documents, pairs)."""
    count = len(segments)
    rows = torch.arange(count)
    places = torch.rand(count, segments.shape[1], generator=generator).argsort(1)
    said = torch.stack([torch.randperm(count, generator=generator) % 2 for _ in pairs], dim=1)
    for index, pair in enumerate(pairs):
        chosen = [pair[which] for which in said[:, index].tolist()]
        at = (rows.to(segments.device), places[:, index].to(segments.device))
        segments[at] = planted(segments[at], chosen, generator)
    return segments, said
