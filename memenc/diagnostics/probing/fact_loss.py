"""Write loss against read loss: was a fact not written, forgotten on the way, or kept and not read?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memenc.diagnostics.knockout import measured
from memenc.diagnostics.probing.facts import Facts, filler, planted
from memenc.diagnostics.probing.linear_probe import Score, probe_right
from memenc.diagnostics.probing.reading import Part, Told, answers_of, features, parts_of, read_along, silence
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.state import MemoryState
from memenc.tasks import MemencForSequenceClassification

READ, UNWRITTEN, FORGOTTEN, UNREAD = "read", "lost when written", "forgotten on the way", "kept but not read"
UNKNOWN = "too few documents to tell"
OWN_ANSWER, VECTOR_PROBE = "the model's own answer", "a linear probe on the context vector"
# Two standard errors: what chance alone does in one of twenty comparisons.
SIGNIFICANT = 2.0


@dataclass(frozen=True)
class LossAt:
    """A fact after so many more segments.

    Args:
        distance: segments read since.
        parts: accuracy of a linear probe on each part of the state, and on all of it together ("all").
        read: accuracy of what the model makes of it.
        verdict: where most is lost, see `verdict`.
    """

    distance: int
    parts: dict[str, Score]
    read: Score
    verdict: str


@dataclass(frozen=True)
class FactLoss:
    """Where facts are lost.

    Args:
        classes: that a fact may have.
        chance: accuracy of guessing.
        documents: documents that each told one fact.
        reader: what "read" is: the model's own answer, or a linear probe on the context vector.
        findable: what the same linear probe finds in the words of the segments that tell the facts: with so many
            documents it finds no more of anything, so that only what is less counts as lost when written.
        at: one for each distance; the first, 0, is right after the write.
    """

    classes: tuple[str, ...]
    chance: float
    documents: int
    reader: str
    findable: Score
    at: tuple[LossAt, ...]

    @property
    def written(self) -> Score:
        """What a linear probe finds right after the write."""
        return self.at[0].parts["all"]

    @property
    def forgotten_after(self) -> int | None:
        """First distance at which a probe on the state is nearer to chance than to what was written."""
        middle = (self.chance + self.written.mean) / 2
        return next((at.distance for at in self.at if at.parts["all"].mean < middle), None)

    def sentences(self) -> list[str]:
        """One sentence for each distance, and one for where it is forgotten."""
        lines = [
            f"after {at.distance} more segments: {at.verdict} (findable {self.findable}, written {self.written}, "
            f"kept {at.parts['all']}, read {at.read}; guessing {self.chance:.2f})"
            for at in self.at
        ]
        if self.forgotten_after and self.written.mean > self.chance + SIGNIFICANT * self.written.error:
            lines.append(f"half of what a linear probe finds of a fact is gone after {self.forgotten_after} segments")
        return lines


def verdict(findable: Score, written: Score, kept: Score, read: Score, chance: float) -> str:
    """Where most of a fact is lost: when it is written, on the way, or when it is read; "read" if nowhere.

    A loss counts if it is more than two standard errors. What is read was kept, and what is kept was written, also
    where a linear probe is too weak to find it; where it finds nothing in the words themselves, nothing can be told.
    """
    kept = max(kept, read, key=lambda score: score.mean)
    written = max(written, kept, key=lambda score: score.mean)
    findable = max(findable, written, key=lambda score: score.mean)
    steps = {UNWRITTEN: (findable, written), FORGOTTEN: (written, kept), UNREAD: (kept, read)}
    losses = {name: before.mean - after.mean for name, (before, after) in steps.items()}
    errors = {name: (before.error**2 + after.error**2) ** 0.5 for name, (before, after) in steps.items()}
    lost = [name for name in steps if losses[name] > SIGNIFICANT * errors[name]]
    nowhere = READ if read.mean - SIGNIFICANT * read.error > chance else UNKNOWN
    return max(lost, key=lambda name: losses[name], default=nowhere)


@torch.no_grad()
def fact_loss(
    model: MemencModel | HasMemenc,
    documents: Tensor,
    facts: Facts,
    distances: Sequence[int] = (0, 1, 2, 4, 8, 16),
    count: int = 96,
    seed: int = 0,
    told: Told = silence,
) -> FactLoss:
    """Tell documents one fact each, in their second segment, and look for it in the state and in the answer.

    What the state holds is what a cross-validated linear probe finds in it; what is read is the model's own answer if
    its labels are the classes of the facts, or else what a probe finds in the context vector.

    Args:
        model: a MemencModel, or a head model.
        documents: (documents, segments, tokens) whose segments surround the facts, in random order.
        facts: to tell.
        distances: segments between the fact and the question, rising, from 0.
        count: documents to make, as many as are read side by side.
        seed: of facts, their places and the order of segments.
        told: is called with how far it is.

    Raises:
        ValueError: distances that do not rise from 0, or facts too long for a segment.
    """
    if list(distances) != sorted(set(distances)) or distances[0] != 0:
        raise ValueError(f"distances={tuple(distances)}: give rising numbers of segments, from 0")
    encoder = memenc_of(model)
    generator = torch.Generator().manual_seed(seed)
    parts, facts = parts_of(encoder), facts.fitting(documents.shape[2])
    reading = filler(documents, count, 2 + distances[-1], generator)
    chosen, labels = facts.drawn(count, generator)
    reading[:, 1] = planted(reading[:, 1], chosen, generator)
    own, found = own_classes(model, facts), []
    findable = Score.of(probe_right(counted(reading[:, 1]), labels, seed))
    with measured(encoder):
        states = read_along(model, reading, [2 + distance for distance in distances])
        for distance, state in zip(distances, states, strict=True):
            told(f"facts: after {distance} of {distances[-1]} segments")
            scores = _held(encoder, state, parts, labels, seed)
            answered = Score.of(right_answers(model, encoder.read_out(state), labels, own, seed))
            written = found[0].parts["all"] if found else scores["all"]
            where = verdict(findable, written, scores["all"], answered, facts.chance)
            found.append(LossAt(distance, scores, answered, where))
    reader = VECTOR_PROBE if own is None else OWN_ANSWER
    return FactLoss(facts.names, facts.chance, count, reader, findable, tuple(found))


def counted(segments: Tensor) -> Tensor:
    """How often every token that there is stands in each segment (documents, tokens): (documents, different tokens)."""
    known, places = segments.unique(return_inverse=True)
    counts = torch.zeros(len(segments), len(known), dtype=torch.double, device=segments.device)
    return counts.scatter_add_(1, places, torch.ones_like(places, dtype=torch.double))


def _held(
    model: MemencModel, state: MemoryState, parts: Sequence[Part], labels: Sequence[int], seed: int
) -> dict[str, Score]:
    """What a linear probe finds in each part, and in all of them together."""
    numbers = {part.name: features(model, state, part) for part in parts}
    numbers["all"] = torch.cat(list(numbers.values()), dim=1)
    return {name: Score.of(probe_right(x, labels, seed)) for name, x in numbers.items()}


def own_classes(model: MemencModel | HasMemenc, facts: Facts) -> list[int] | None:
    """Output of a classifier for each class of the facts; None if these are not all among its labels."""
    if not isinstance(model, MemencForSequenceClassification):
        return None
    names = {str(name): int(index) for index, name in (model.config.id2label or {}).items()}
    return [names[name] for name in facts.names] if set(facts.names) <= names.keys() else None


def right_answers(
    model: MemencModel | HasMemenc, vectors: Tensor, labels: Sequence[int], own: Sequence[int] | None, seed: int
) -> np.ndarray:
    """Which documents are answered rightly, from context vectors (documents, hidden)."""
    logits = None if own is None else answers_of(model, vectors)
    if own is None or logits is None:
        return probe_right(vectors.flatten(1), labels, seed)
    return logits[:, list(own)].argmax(1).cpu().numpy() == np.asarray(labels)
