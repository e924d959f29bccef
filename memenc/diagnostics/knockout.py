"""Where a model keeps memory, and what the next segment loses when one of these places is emptied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from memenc.memory import LayerMemory
from memenc.memory.composite import CompositeMemory
from memenc.memory.learned_start import LearnedStart
from memenc.model import MemencModel
from memenc.state import MemoryState, same_shape

# Relative change of token states below which a knock-out shows rounding and nothing else.
ROUNDING = 1e-5
LARGEST_COUNT = 2**20


class HasPrefix(Protocol):
    """A part of a state: its tensors have names that start with its prefix and a dot."""

    @property
    def prefix(self) -> str:
        """Without the dot."""
        ...


@dataclass(frozen=True)
class Place:
    """One memory with a state: of a layer, of one design of a composition in it, or over the top.

    Args:
        name: as people read it, such as "layer 3" or "top".
        prefix: of its tensors in the state.
        memory: the design.
        heard: where its loss must show: in the token states, in the context vector, or nowhere.
    """

    name: str
    prefix: str
    memory: LayerMemory
    heard: Literal["tokens", "vector"] | None


@dataclass(frozen=True)
class Effect:
    """Relative change of the last segment's token states, and of the context vector, by an emptied memory."""

    tokens: float
    vector: float


def places_of(model: MemencModel) -> tuple[Place, ...]:
    """All memories of a model that have a state, from the bottom to the top."""
    encoder = model.encoder
    streams = encoder.row_tokens is not None and encoder.row_tokens.streams
    found: list[Place] = []
    for index, memory in enumerate(encoder.layer_memories):
        for part, leaf in _leaves(memory).items():
            found.append(Place(_named(f"layer {index}", part), f"layers.{index}{part}", leaf, "tokens"))
    for part, leaf in _leaves(encoder.top_memory).items():
        comes_back = streams and encoder.row_state == f"top{part}"
        heard = "tokens" if comes_back else "vector" if model.readout.reads_top else None
        found.append(Place(_named("top", part), f"top{part}", leaf, heard))
    names = encoder.initial_state(1)
    return tuple(place for place in found if any(name.startswith(place.prefix + ".") for name in names))


def _leaves(memory: LayerMemory) -> dict[str, LayerMemory]:
    """The designs in a memory, by what they add to the names of its tensors."""
    match memory:
        case LearnedStart():
            return _leaves(memory.memory)
        case CompositeMemory():
            return {f".{name}": part for name, part in memory.memories.items()}
        case _:
            return {"": memory}


def _named(where: str, part: str) -> str:
    return f"{where} {part[1:]}".strip()


@contextmanager
def measured(model: MemencModel) -> Iterator[None]:
    """Without dropout and with the whole gradient through time, whatever training has set."""
    training, horizon = model.training, model.encoder.bptt_segments
    model.eval()
    model.encoder.bptt_segments = None
    try:
        yield
    finally:
        model.train(training)
        model.encoder.bptt_segments = horizon


def whole_segments(model: MemencModel, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Own tokens (documents, segments, tokens) of the documents with two whole segments or more, cut to one length.

    Raises:
        ValueError: none of them is that long.
    """
    if input_ids.dim() != 2:
        raise ValueError(f"input_ids of shape {tuple(input_ids.shape)}: give documents of shape (batch, tokens)")
    own, behind = model.own_tokens_per_segment, len(model.encoder.special.suffix)
    ids = input_ids.to(model.device).long()
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask.to(model.device)
    segments = model.segments_of(ids, mask.bool(), model.encoder.initial_state(len(ids)))
    counts = segments.complete.sum(1)
    long = counts >= 2
    if not bool(long.any()):
        raise ValueError(
            f"the longest of {len(ids)} documents has {max(segments.totals, default=0)} tokens; to see a memory work, "
            f"give documents of at least {2 * own}, two segments of {own}"
        )
    end = model.config.segment_length - behind
    return segments.ids[long, : int(counts[long].min()), end - own : end]


def replaced(state: MemoryState, other: MemoryState, places: Sequence[HasPrefix]) -> MemoryState:
    """The state with what `other` holds in these places: nothing, if that is an initial state."""
    prefixes = tuple(place.prefix + "." for place in places)
    tensors = {name: other.tensors[name] if name.startswith(prefixes) else x for name, x in state.tensors.items()}
    return MemoryState(tensors, state.fingerprint)


@dataclass(frozen=True)
class Knockout:
    """Changes without a place, and with what it would hold of another document (None if there is no other)."""

    empty: Effect
    foreign: Effect | None


@torch.no_grad()
def effect_of_all(model: MemencModel, documents: Tensor, places: Sequence[Place]) -> Effect:
    """What the last segment of `documents` (documents, segments, tokens) loses without any memory."""
    state, initial, ids = _before_last(model, documents), model.initial_memory(len(documents)), documents[:, -1]
    return _effect(model, ids, state, replaced(state, initial, places))


@torch.no_grad()
def knock_out(model: MemencModel, documents: Tensor, places: Sequence[Place]) -> dict[str, Knockout]:
    """What is lost without each place of documents (documents, segments, tokens), by its name.

    A place is emptied before the last segment; if only the context vector hears it, after that, half a segment before
    the end.
    """
    other = another(documents)
    state, initial, last = _before_last(model, documents), model.initial_memory(len(documents)), documents[:, -1]
    foreign = None if other is None else _before_last(model, other)
    end = model(last, memory=state).memory
    foreign_end = None if other is None else model(other[:, -1], memory=foreign).memory
    found = {}
    for place in places:
        late = place.heard == "vector"
        ids, whole, strange = (half(documents), end, foreign_end) if late else (last, state, foreign)
        empty = _effect(model, ids, whole, replaced(whole, initial, [place]))
        swapped = None if strange is None else _effect(model, ids, whole, replaced(whole, strange, [place]))
        found[place.name] = Knockout(empty, swapped)
    return found


def half(documents: Tensor) -> Tensor:
    """Half a segment, (documents, tokens), to end documents (documents, segments, tokens) with."""
    return documents[:, 0, : max(1, documents.shape[2] // 2)]


def another(documents: Tensor) -> Tensor | None:
    """For every document (segments, tokens) another that differs before the last segment, or itself from behind.

    None if there is a document without any such.
    """
    found = []
    for row, document in enumerate(documents):
        others = [documents[row - step] for step in range(1, len(documents))]
        before = document[:-1] if len(document) > 1 else document
        differ = (x for x in (*others, document.flip(0, 1)) if not torch.equal(x[: len(before)], before))
        found.append(next(differ, None))
    whole = [x for x in found if x is not None]
    return torch.stack(whole) if len(whole) == len(documents) else None


def _before_last(model: MemencModel, documents: Tensor) -> MemoryState:
    return model(documents[:, :-1].flatten(1), output_token_states=False).memory


def _effect(model: MemencModel, ids: Tensor, state: MemoryState, other: MemoryState) -> Effect:
    whole, without = model(ids, memory=state), model(ids, memory=other)
    return Effect(
        change(whole.last_hidden_state, without.last_hidden_state), change(whole.pooler_output, without.pooler_output)
    )


@torch.no_grad()
def carried(model: MemencModel, documents: Tensor, places: Sequence[Place]) -> dict[str, float]:
    """How much of every place's state would differ had it been empty one segment earlier, from 0; needs 3 segments.

    Keys and values of a layer do not depend on its own memory, so what differs came through the old state.
    """
    if documents.shape[1] < 3:
        return {}
    before = model(documents[:, :-2].flatten(1), output_token_states=False).memory
    initial, ids = model.initial_memory(len(documents)), documents[:, -2]
    whole = model(ids, memory=before).memory
    found = {}
    for place in places:
        without = model(ids, memory=replaced(before, initial, [place])).memory
        found[place.name] = state_change(whole, without, place)
    return found


def state_change(state: MemoryState, other: MemoryState, place: HasPrefix) -> float:
    """Relative difference of what two states hold in a place."""
    contents, others = content(state, place), other.part(place.prefix)
    pairs = [same_shape(x, others[name]) for name, x in contents.items()]
    if not pairs:
        return 0.0
    return change(*(torch.cat([pair[side].flatten().double() for pair in pairs]) for side in (0, 1)), of=0)


def content(state: MemoryState, place: HasPrefix) -> dict[str, Tensor]:
    """What a place holds, without counters and without zeros that nothing was written over."""
    tensors = state.part(place.prefix)
    return {name: x for name, x in tensors.items() if x.is_floating_point() and x.numel() and not _counts(x)}


def _counts(tensor: Tensor) -> bool:
    # Large floating-point numbers are whole as well.
    return torch.equal(tensor, tensor.round()) and bool((tensor.abs() < LARGEST_COUNT).all())


def change(new: Tensor, old: Tensor, of: Literal[0, 1] = 1) -> float:
    """Norm of the difference relative to that of `old`, or with ``of=0`` to that of `new`."""
    new, old = new.detach().double(), old.detach().double()
    return float((new - old).norm() / (new, old)[of].norm().clamp(min=1e-300))
