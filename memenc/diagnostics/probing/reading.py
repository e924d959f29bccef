"""Parts of a state, what a linear probe sees of them, and reading on in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.diagnostics.knockout import Place, content, places_of
from memenc.memory.values import Entries
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.state import MemoryState
from memenc.tasks import MemencForSequenceClassification

# Tensors with more numbers than this per document are pooled before a probe sees them.
LARGE = 65_536
# Tokens of one segment of all documents that are read side by side: what a layer computes at once.
TOKENS_PER_CALL = 8_192

Told = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """A part of the state: a place, or the document memory.

    Args:
        name: "layer 3", "layer 3 windowed", "top", "document".
        prefix: of its tensors in the state.
        place: None for the document memory.
    """

    name: str
    prefix: str
    place: Place | None = None


def silence(message: str) -> None:
    """Tell nobody how far a measurement is."""


def parts_of(model: MemencModel) -> tuple[Part, ...]:
    """All places of a model and the document memory, which is all that remembers where the design is `none`."""
    return (*(Part(place.name, place.prefix, place) for place in places_of(model)), Part("document", "document"))


def features(model: MemencModel, state: MemoryState, part: Part) -> Tensor:
    """What a probe sees of a part: (documents, numbers).

    Of entries to attend to it is mean and maximum of keys and values over the valid ones, of the document memory its
    mean, maximum and what its queries found, of anything else the numbers as they are.
    """
    tensors = state.part(part.prefix)
    if part.place is None:
        found = [tensors["mean"], tensors["maximum"], model.encoder.document_memory.pooled(tensors)]
    else:
        entries = part.place.memory.read(tensors)
        whole = entries is not None and entries.keys.shape[2] > 0
        found = (
            _pooled(entries) if entries is not None and whole else list(map(_reduced, content(state, part).values()))
        )
    numbers = torch.cat([x.flatten(1).double() for x in found or [torch.zeros(len(state), 1)]], dim=1)
    return numbers.nan_to_num(0.0, 0.0, 0.0)


def _pooled(entries: Entries) -> list[Tensor]:
    """Mean and maximum over the valid entries, zeros where there are none."""
    there = entries.valid[:, None, :, None]
    count = there.sum(2).clamp(min=1)
    sides = (entries.keys.double(), entries.values.double())
    means = [torch.where(there, x, 0.0).sum(2) / count for x in sides]
    # An infinity that stays is no entry at all, and becomes zero with the others.
    return means + [x.masked_fill(~there, -torch.inf).amax(2) for x in sides]


def _reduced(tensor: Tensor) -> Tensor:
    if tensor[0].numel() <= LARGE or tensor.dim() < 4:
        return tensor
    return torch.cat([tensor.double().mean(2), tensor.double().amax(2)], dim=-1)


def answers_of(model: MemencModel | HasMemenc, vector: Tensor) -> Tensor | None:
    """Logits (documents, labels) of a classifier for context vectors (documents, hidden), None without a head."""
    if not isinstance(model, MemencForSequenceClassification):
        return None
    return model.classifier(vector.to(model.classifier.weight.dtype)).float()


@torch.no_grad()
def read(model: MemencModel | HasMemenc, documents: Tensor, memory: MemoryState | None = None) -> MemoryState:
    """State after documents (documents, segments, tokens)."""
    encoder = memenc_of(model)
    if documents.shape[1] == 0:
        return encoder.initial_memory(len(documents)) if memory is None else memory
    side_by_side = max(1, TOKENS_PER_CALL // encoder.config.segment_length)
    after = []
    for rows in torch.arange(len(documents)).split(side_by_side):
        before = None if memory is None else memory.select(rows)
        after.append(encoder(documents[rows].flatten(1), memory=before, output_token_states=False).memory)
    return MemoryState.cat(after)


def read_along(model: MemencModel | HasMemenc, documents: Tensor, stops: Sequence[int]) -> Iterator[MemoryState]:
    """States of documents (documents, segments, tokens) after so many of their segments, in rising order."""
    memory, done = None, 0
    for stop in stops:
        memory = read(model, documents[:, done:stop], memory)
        done = stop
        yield memory


def long_enough(documents: Tensor, segments: int, generator: torch.Generator) -> Tensor:
    """Documents (documents, segments, tokens) of so many segments: their own, and beyond that again in random order."""
    count = documents.shape[1]
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-segments // count) - 1)]
    return documents[:, torch.cat([torch.arange(count), *rounds])[:segments].to(documents.device)]
