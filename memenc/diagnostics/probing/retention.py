"""What is left of a segment after more segments: in each part of the state, in the token states, in the vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memenc.diagnostics.knockout import content, measured, replaced, whole_segments
from memenc.diagnostics.probing.reading import Part, Told, long_enough, parts_of, read, silence
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.state import MemoryState


@dataclass(frozen=True)
class Curve:
    """A number for every distance: mean over documents, and its standard error (0 for one document)."""

    mean: tuple[float, ...]
    error: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Tensor]) -> Curve:
        """From (documents,) numbers at each distance."""
        values = torch.stack(list(rows)).double()
        spread = values.std(1) / values.shape[1] ** 0.5 if values.shape[1] > 1 else torch.zeros(len(values))
        return cls(tuple(values.mean(1).tolist()), tuple(spread.tolist()))


@dataclass(frozen=True)
class PartRetention:
    """What one part keeps of a segment.

    Args:
        name: of the part; "all" for the whole memory.
        written: difference that the segment made when it was written, relative to what the part then holds.
        state: what is left of that difference after 0, 1, ... more segments, 1 being all of it.
        weight: what is left relative to all that the part then holds, as a share of `written`: a sum that keeps
            everything, or a window that is not yet full, has ever more beside it.
        tokens: relative change of the token states of the segment read 1, 2, ... segments later.
        vector: relative change of the context vector, if the document ends after 0, 1, ... more segments.
    """

    name: str
    written: float
    state: Curve
    weight: Curve
    tokens: Curve
    vector: Curve

    @property
    def half_gone(self) -> int | None:
        """Segments after which less than half is left, None if that was not seen."""
        return next((distance for distance, share in enumerate(self.state.mean) if share < 0.5), None)

    @property
    def gone(self) -> int | None:
        """Segments after which nothing at all is left, to the last bit; None if that was not seen."""
        return next((distance for distance, share in enumerate(self.state.mean) if share == 0), None)


@dataclass(frozen=True)
class Retention:
    """What is left of a segment after more of them.

    Args:
        memory: name of the design.
        documents: documents that were read.
        segments: the largest distance.
        parts: one for each place, the document memory, and "all".
    """

    memory: str
    documents: int
    segments: int
    parts: tuple[PartRetention, ...]

    def sentences(self) -> list[str]:
        """What the curves say, one sentence for each part."""
        return [_sentence(part, self.segments) for part in self.parts]


@torch.no_grad()
def retention(
    model: MemencModel | HasMemenc,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    segments: int = 16,
    seed: int = 0,
    told: Told = silence,
) -> Retention:
    """Follow what one segment wrote through later ones, without labels.

    The second segment (the first of documents of two) is read as it is and as another one, of another document if that
    differs; all later segments are the same. What then differs is what is left of its content. Each part has the other
    content alone, so that what it keeps is told apart from what it gets from others; "all" has it
    everywhere. Documents that end too early are read on in random order.

    Args:
        model: a MemencModel, or a head model, whose `memenc` is taken.
        input_ids: (documents, tokens) own tokens.
        attention_mask: (documents, tokens), 0 at padding; None if there is none.
        segments: the largest distance.
        seed: of the order of what is read on.
        told: is called with how far it is.

    Raises:
        ValueError: no document of two whole segments, or documents that are all the same.
    """
    if segments < 1:
        raise ValueError(f"segments={segments}: give at least 1")
    encoder = memenc_of(model)
    parts = parts_of(encoder)
    documents = whole_segments(encoder, input_ids, attention_mask)
    first = 1 if documents.shape[1] > 2 else 0
    other = other_segments(documents, first)
    reading = long_enough(documents, first + 1 + segments, torch.Generator().manual_seed(seed))
    with measured(encoder):
        before = read(encoder, reading[:, :first])
        as_it_is, foreign = (read(encoder, x, before) for x in (reading[:, first : first + 1], other[:, None]))
        found = _followed(encoder, parts, as_it_is, foreign, reading[:, first + 1 :], told)
    return Retention(encoder.config.memory, len(documents), segments, found)


def other_segments(documents: Tensor, place: int) -> Tensor:
    """For the segment of every document at a place another one, if possible of another document: (documents, tokens).

    Args:
        documents: (documents, segments, tokens).
        place: number of the segment.

    Raises:
        ValueError: all segments are the same.
    """
    found = []
    for row, document in enumerate(documents):
        others = [documents[row - step, place] for step in range(1, len(documents))]
        others += list(documents.roll(-row, 0).flatten(0, 1).flip(0))
        found.append(next((x for x in others if not torch.equal(x, document[place])), None))
    if any(x is None for x in found):
        raise ValueError("all segments of these documents are the same: give documents that differ")
    return torch.stack([x for x in found if x is not None])


def _followed(
    model: MemencModel, parts: Sequence[Part], state: MemoryState, foreign: MemoryState, later: Tensor, told: Told
) -> tuple[PartRetention, ...]:
    """What is left along later segments (documents, segments, tokens) where each part, and all, held something else.

    All variants go side by side, so that no more than one state of each is held.
    """
    variants = {part.name: (part,) for part in parts} | {"all": tuple(parts)}
    rows = {name: _Rows([], [], [], []) for name in variants}
    changed = {name: _Step.start(model, replaced(state, foreign, chosen)) for name, chosen in variants.items()}
    whole = _Step.start(model, state)
    for distance in range(later.shape[1] + 1):
        told(f"retention: {distance} of {later.shape[1]} segments")
        if distance:
            segment = later[:, distance - 1]
            whole = whole.then(model, segment)
            changed = {name: step.then(model, segment) for name, step in changed.items()}
        for name, chosen in variants.items():
            rows[name].add(model, whole, changed[name], chosen)
    return tuple(rows[name].part(name) for name in variants)


@dataclass(frozen=True)
class _Step:
    """A state, the vector of a document that ends with it, and the token states that were read before it."""

    state: MemoryState
    vector: Tensor
    tokens: Tensor | None = None

    @classmethod
    def start(cls, model: MemencModel, state: MemoryState) -> Self:
        return cls(state, model.read_out(state))

    def then(self, model: MemencModel, segment: Tensor) -> _Step:
        """One segment more; always a call of one shape, so that what is equal is equal bit for bit."""
        output = model(segment, memory=self.state)
        return _Step(output.memory, output.pooler_output, output.last_hidden_state)


@dataclass(frozen=True)
class _Rows:
    """Per distance and document: differences of the state, what it holds, differences of token states and vector."""

    states: list[Tensor]
    held: list[Tensor]
    tokens: list[Tensor]
    vectors: list[Tensor]

    def add(self, model: MemencModel, whole: _Step, changed: _Step, parts: Sequence[Part]) -> None:
        self.states.append(_difference(model, whole.state, changed.state, parts))
        self.held.append(_difference(model, whole.state, None, parts).clamp(min=1e-300))
        if whole.tokens is not None and changed.tokens is not None:
            self.tokens.append(_relative(changed.tokens, whole.tokens))
        self.vectors.append(_relative(changed.vector, whole.vector))

    def part(self, name: str) -> PartRetention:
        weights = [gap / held for gap, held in zip(self.states, self.held, strict=True)]
        return PartRetention(
            name,
            float(weights[0].mean()),
            Curve.of(_shares(self.states)),
            Curve.of(_shares(weights)),
            Curve.of(self.tokens),
            Curve.of(self.vectors),
        )


def _shares(rows: Sequence[Tensor]) -> list[Tensor]:
    """Of the first row; where nothing was written nothing can be left, 0 / 0 would say anything."""
    return [torch.where(rows[0] > 0, x / rows[0].clamp(min=1e-300), 0.0) for x in rows]


def _difference(model: MemencModel, state: MemoryState, other: MemoryState | None, parts: Sequence[Part]) -> Tensor:
    """Norm of the difference of two states, or of one alone, in some parts, (documents,)."""
    squares = torch.zeros(len(state), dtype=torch.double, device=next(iter(state.tensors.values())).device)
    for part in parts:
        others = None if other is None else _held(model, other, part)
        for name, tensor in _held(model, state, part).items():
            there = torch.zeros_like(tensor) if others is None else others[name]
            # Two infinities are no difference.
            gap = torch.where(tensor == there, 0.0, tensor.double() - there.double())
            squares += gap.flatten(1).square().sum(1)
    return squares.sqrt()


def _held(model: MemencModel, state: MemoryState, part: Part) -> dict[str, Tensor]:
    """What a part holds; the document memory, which sums, in the form in which it is read."""
    if part.place is not None:
        return content(state, part)
    tensors = state.part(part.prefix)
    return {name: tensors[name] for name in ("mean", "maximum", "first", "last")} | {
        "pooled": model.encoder.document_memory.pooled(tensors)
    }


def _relative(new: Tensor, old: Tensor) -> Tensor:
    gap, size = (x.double().flatten(1).norm(dim=1) for x in (new - old, old))
    return gap / size.clamp(min=1e-300)


def _sentence(part: PartRetention, segments: int) -> str:
    if part.written == 0:
        return f"{part.name}: nothing of the segment was written."
    left = f"{part.state.mean[-1]:.0%} of it is left"
    if part.gone is not None:
        after = "" if part.half_gone in (None, part.gone) else f"less than half after {part.half_gone}, "
        return f"{part.name}: {after}nothing left after {part.gone} more segments."
    weight = f"{left} and weighs {part.weight.mean[-1]:.0%} of what it did when written"
    if part.half_gone is not None:
        return f"{part.name}: less than half after {part.half_gone} more segments; after {segments}, {weight}."
    return f"{part.name}: after {segments} more segments {weight}."
