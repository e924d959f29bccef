"""Depth against length: a fact at a chosen place of documents of a chosen length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.diagnostics.knockout import measured
from memenc.diagnostics.probing.fact_loss import OWN_ANSWER, VECTOR_PROBE, own_classes, right_answers
from memenc.diagnostics.probing.facts import Facts, filler, planted
from memenc.diagnostics.probing.linear_probe import Score
from memenc.diagnostics.probing.reading import Told, read, silence
from memenc.model import HasMemenc, MemencModel, memenc_of


@dataclass(frozen=True)
class DepthMap:
    """Accuracy by depth and length.

    Args:
        chance: accuracy of guessing.
        documents: documents in each cell.
        reader: the model's own answer, or a linear probe on the context vector.
        depths: place of the fact, 0 the first segment, 1 the last.
        lengths: segments of the documents.
        scores: (depths, lengths) accuracy in each cell.
    """

    chance: float
    documents: int
    reader: str
    depths: tuple[float, ...]
    lengths: tuple[int, ...]
    scores: tuple[tuple[Score, ...], ...]


@torch.no_grad()
def depth_map(
    model: MemencModel | HasMemenc,
    documents: Tensor,
    facts: Facts,
    lengths: Sequence[int] = (2, 4, 8, 16),
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    count: int = 16,
    seed: int = 0,
    told: Told = silence,
) -> DepthMap:
    """Hide a fact at every depth of documents of every length, and ask for it at the end.

    Args:
        model: a MemencModel, or a head model; a classifier whose labels are the classes of the facts answers itself.
        documents: (documents, segments, tokens) whose segments surround the facts.
        facts: to hide.
        lengths: segments.
        depths: shares of the document, 0 to 1.
        count: documents in each cell.
        seed: of all that is random.
        told: is called with how far it is.

    Raises:
        ValueError: depths outside 0 to 1, lengths below 1, or facts too long for a segment.
    """
    if min(lengths) < 1 or min(depths) < 0 or max(depths) > 1:
        raise ValueError(f"lengths={tuple(lengths)}, depths={tuple(depths)}: give lengths from 1 and depths in 0 to 1")
    encoder = memenc_of(model)
    facts, generator = facts.fitting(documents.shape[2]), torch.Generator().manual_seed(seed)
    own, columns = own_classes(model, facts), []
    with measured(encoder):
        for length in lengths:
            told(f"depth and length: {length} of {lengths[-1]} segments")
            vectors, labels = [], []
            places = [round(depth * (length - 1)) for depth in depths]
            for place in places:
                reading = filler(documents, count, length, generator)
                chosen, drawn = facts.drawn(count, generator)
                reading[:, place] = planted(reading[:, place], chosen, generator)
                vectors.append(encoder.read_out(read(model, reading)))
                labels += drawn
            # A probe is trained over all depths, as a reader does not know where the fact stands.
            right = right_answers(model, torch.cat(vectors), labels, own, seed).reshape(len(depths), count)
            # In short documents several depths are one place: its documents count together.
            columns.append([Score.of(right[[other == place for other in places]]) for place in places])
    reader = VECTOR_PROBE if own is None else OWN_ANSWER
    rows = tuple(zip(*columns, strict=True))
    return DepthMap(facts.chance, count, reader, tuple(depths), tuple(lengths), rows)
