"""All measurements of what a trained model forgets, in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from memenc.diagnostics.probing.capacity import Capacity, capacity
from memenc.diagnostics.probing.contributions import Contributions, contributions
from memenc.diagnostics.probing.depth_map import DepthMap, depth_map
from memenc.diagnostics.probing.endings import Endings, endings
from memenc.diagnostics.probing.fact_loss import FactLoss, fact_loss
from memenc.diagnostics.probing.facts import Facts
from memenc.diagnostics.probing.linear_probe import FOLDS
from memenc.diagnostics.probing.long_reading import LongReading, long_reading
from memenc.diagnostics.probing.reading import Told, silence
from memenc.diagnostics.probing.retention import Retention, retention
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.storage.results import plain
from memenc.tasks import MemencForSequenceClassification

# Retention needs no labels and little statistics: a few of the longest documents say it.
FOLLOWED = 4


@dataclass(frozen=True)
class ProbeSettings:
    """How much is measured.

    Args:
        segments: largest distance, longest document of the depth map, and part of a document that is attributed.
        fact_documents: documents that tell one fact each, for write loss against read loss.
        cell_documents: documents in each cell of the depth map.
        most_facts: largest number of facts told at once.
        drift_segments: length of the long reading.
        seed: of all that is random.
    """

    segments: int = 16
    fact_documents: int = 64
    cell_documents: int = 10
    most_facts: int = 8
    drift_segments: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"segments": 2, "fact_documents": 20, "cell_documents": 4, "most_facts": 1, "drift_segments": 2}
        for name, value in asdict(self).items():
            if value < least.get(name, 0):
                raise ValueError(f"{name}={value}: give at least {least.get(name, 0)}")


@dataclass(frozen=True)
class Probe:
    """What a trained model forgets.

    Args:
        memory: name of the design.
        segment_length: own tokens of one segment.
        settings: how much was measured.
        retention: what is left of a segment, by distance and part.
        facts: where facts are lost.
        depth_map: accuracy by depth and length.
        capacity: recall by number of facts.
        long_reading: the state along a long document.
        contributions: of every segment of one document.
        endings: accuracy on labelled documents by how much of their end is read; None without labels.
    """

    memory: str
    segment_length: int
    settings: ProbeSettings
    retention: Retention
    facts: FactLoss
    depth_map: DepthMap
    capacity: Capacity
    long_reading: LongReading
    contributions: Contributions
    endings: Endings | None = None

    def sentences(self) -> list[str]:
        """What was found, in words."""
        held = max(self.capacity.held["all"])
        lines = [*self.retention.sentences(), *self.facts.sentences()]
        lines.append(f"facts of one bit held at once, of up to {self.capacity.facts[-1]}: {held:.1f} (linear probe)")
        agreement = self.contributions.agreement
        if agreement is not None:
            lines.append(f"attribution: gradient x write orders the segments as knock-out does to {agreement:+.2f}")
        if self.endings is not None:
            first, last = self.endings.scores[0], self.endings.scores[-1]
            lines.append(f"your labelled documents: accuracy {last} read whole, {first} from their last segment alone")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """All numbers and sentences, as JSON takes them; None for numbers that are not finite."""
        return plain(asdict(self) | {"sentences": self.sentences()})

    def rows(self) -> Iterator[dict[str, Any]]:
        """The curves as one long table: measure, part, segments or facts, value, standard error."""
        yield {
            "measure": "fact",
            "part": "findable",
            "at": 0,
            "value": self.facts.findable.mean,
            "error": self.facts.findable.error,
        }
        for part in self.retention.parts:
            for at, (value, error) in enumerate(zip(part.state.mean, part.state.error, strict=True)):
                yield {"measure": "retention", "part": part.name, "at": at, "value": value, "error": error}
            for at, (value, error) in enumerate(zip(part.weight.mean, part.weight.error, strict=True)):
                yield {"measure": "weight", "part": part.name, "at": at, "value": value, "error": error}
        for at in self.facts.at:
            for name, score in {**at.parts, "read": at.read}.items():
                yield {"measure": "fact", "part": name, "at": at.distance, "value": score.mean, "error": score.error}
        for depth, scores in zip(self.depth_map.depths, self.depth_map.scores, strict=True):
            for at, score in zip(self.depth_map.lengths, scores, strict=True):
                yield {"measure": "depth", "part": depth, "at": at, "value": score.mean, "error": score.error}
        for name, scores in self.capacity.recall.items():
            for at, score in zip(self.capacity.facts, scores, strict=True):
                yield {"measure": "capacity", "part": name, "at": at, "value": score.mean, "error": score.error}


def probe(
    model: MemencModel | HasMemenc,
    documents: Sequence[Tensor],
    facts: Facts,
    settings: ProbeSettings | None = None,
    labels: Sequence[int] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    told: Told = silence,
) -> Probe:
    """Measure what a trained model forgets.

    Args:
        model: a MemencModel, or a head model; a classifier answers itself where its labels are those of the facts.
        documents: own tokens of each, (tokens,); their segments also surround the facts.
        facts: short texts of a few classes, such as `Facts.generated(tokenizer)`.
        settings: how much to measure.
        labels: number of each document's label among a classifier's outputs.
        tokenizer: to show what segments say.
        told: is called with how far it is.

    Raises:
        ValueError: no document of two whole segments, or facts that do not fit.
    """
    settings, encoder = settings or ProbeSettings(), memenc_of(model)
    needed = FOLDS * len(facts.names)
    if settings.fact_documents < needed:
        raise ValueError(
            f"fact_documents={settings.fact_documents}: facts of {len(facts.names)} classes need {needed}, {FOLDS} of "
            "each (--fact-documents)"
        )
    own = encoder.own_tokens_per_segment
    longest = [ids.to(encoder.device) for ids in sorted(documents, key=len, reverse=True)[:FOLLOWED]]
    ids = pad_sequence(longest, batch_first=True, padding_value=-1) if longest else torch.zeros(1, 0, dtype=torch.long)
    many, seed = settings.segments, settings.seed
    # Refuses documents that are too short, before anything takes time.
    kept = retention(model, ids.clamp(min=0), ids >= 0, many, seed, told)
    pool = torch.cat([x[: len(x) // own * own].view(-1, own) for x in documents]).to(encoder.device)[None]
    powers = [2**power for power in range(many.bit_length()) if 2**power < many] + [many]
    numbers = sorted({2**power for power in range(settings.most_facts.bit_length())} | {settings.most_facts})
    document = longest[0][: len(longest[0]) // own * own].view(-1, own)[:many]
    return Probe(
        memory=encoder.config.memory,
        segment_length=own,
        settings=settings,
        retention=kept,
        facts=fact_loss(model, pool, facts, [0, *powers], settings.fact_documents, seed, told),
        depth_map=depth_map(
            model, pool, facts, [x for x in powers if x > 1], count=settings.cell_documents, seed=seed, told=told
        ),
        capacity=capacity(model, pool, facts, numbers, max(20, settings.fact_documents // 2), seed, told),
        long_reading=long_reading(model, pool, settings.drift_segments, seed=seed, told=told),
        contributions=contributions(model, document, tokenizer, told),
        endings=_endings(model, documents, labels, told),
    )


def _endings(
    model: MemencModel | HasMemenc, documents: Sequence[Tensor], labels: Sequence[int] | None, told: Told
) -> Endings | None:
    if labels is None or not isinstance(model, MemencForSequenceClassification):
        return None
    return endings(model, [ids.numpy() for ids in documents], labels, told)
