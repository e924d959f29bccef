"""What becomes of a state over tens to hundreds of thousands of segments, in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from memenc.diagnostics.drift import usage
from memenc.diagnostics.knockout import HasPrefix, content, measured
from memenc.diagnostics.probing.facts import filler
from memenc.diagnostics.probing.reading import Part, Told, parts_of, read, silence
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.state import MemoryState, grown

SEGMENTS_PER_CALL = 16


@dataclass(frozen=True)
class PartOverTime:
    """One part along a long reading.

    Args:
        name: of the part.
        norms: of all it holds, at each measurement; mean over documents.
        moved: how far it is from where it was at the measurement before, relative to its norm; 0 at the first.
        filled: share of its entries that hold something, None if it has none.
        distinct: effective number of different entries among at most 128, None if it has none.
    """

    name: str
    norms: tuple[float, ...]
    moved: tuple[float, ...]
    filled: tuple[float, ...] | None
    distinct: tuple[float, ...] | None


@dataclass(frozen=True)
class LongReading:
    """State along a long document.

    Args:
        documents: read side by side.
        segments: how many had been read at each measurement.
        parts: one for each place and the document memory.
        vector: norm of the context vector at each measurement.
        vector_moved: relative change of the context vector since the measurement before; 0 at the first.
    """

    documents: int
    segments: tuple[int, ...]
    parts: tuple[PartOverTime, ...]
    vector: tuple[float, ...]
    vector_moved: tuple[float, ...]


@dataclass(frozen=True)
class _Look:
    """One measurement."""

    state: MemoryState
    vector: Tensor
    used: dict[str, tuple[float, float]]


@torch.no_grad()
def long_reading(
    model: MemencModel | HasMemenc,
    documents: Tensor,
    segments: int = 64,
    count: int = 2,
    seed: int = 0,
    told: Told = silence,
) -> LongReading:
    """Read random segments of documents one after the other, and look at 1, 2, 4, ... of them.

    Only the state and that of the measurement before are held, so that any number of segments can be read.

    Args:
        model: a MemencModel, or a head model, whose `memenc` is taken.
        documents: (documents, segments, tokens) to take segments from.
        segments: to read.
        count: documents to read side by side.
        seed: of the order.
        told: is called with how far it is.

    Raises:
        ValueError: fewer than two segments.
    """
    if segments < 2:
        raise ValueError(f"segments={segments}: a long reading has at least 2")
    encoder = memenc_of(model)
    parts, generator = parts_of(encoder), torch.Generator().manual_seed(seed)
    stops = [*(2**power for power in range(segments.bit_length()) if 2**power < segments), segments]
    rows: list[dict[str, tuple[float, ...]]] = []
    state, before = encoder.initial_memory(count), None
    with measured(encoder):
        for start, stop in pairwise([0, *stops]):
            for done in range(start, stop, SEGMENTS_PER_CALL):
                told(f"long reading: {done:,} of {segments:,} segments")
                state = read(model, filler(documents, count, min(SEGMENTS_PER_CALL, stop - done), generator), state)
            now = _look(encoder, state, parts)
            rows.append(_row(now, before or now, parts))
            before = now
    vector, vector_moved = zip(*(row["vector"] for row in rows), strict=True)
    found = tuple(_over_time(part.name, [row[part.name] for row in rows]) for part in parts)
    return LongReading(count, tuple(stops), found, vector, vector_moved)


def _over_time(name: str, rows: Sequence[tuple[float, ...]]) -> PartOverTime:
    """From norm and way, and behind them, where there are entries, share filled and number of different ones."""
    columns = list(zip(*rows, strict=True))
    filled, distinct = columns[2:] or (None, None)
    return PartOverTime(name, columns[0], columns[1], filled, distinct)


def _look(model: MemencModel, state: MemoryState, parts: Sequence[Part]) -> _Look:
    used = {}
    for part in parts:
        found = None if part.place is None else usage(state, part.place)
        if found is not None:
            used[part.name] = (found.valid, found.distinct)
    return _Look(state, model.read_out(state).double(), used)


def _row(now: _Look, before: _Look, parts: Sequence[Part]) -> dict[str, tuple[float, ...]]:
    """Norm, way moved and, where there are entries, their use: of every part, and of the vector."""
    row = {}
    for part in parts:
        numbers, old = _numbers(now.state, now.state, part), _numbers(now.state, before.state, part)
        row[part.name] = (*_size_and_way(numbers, old), *now.used.get(part.name, ()))
    return row | {"vector": _size_and_way(now.vector, before.vector)}


def _numbers(like: MemoryState, state: MemoryState, part: HasPrefix) -> Tensor:
    """What a part holds, (documents, numbers), in the shape that it has in `like`."""
    tensors = state.part(part.prefix)
    flat = [grown(tensors[name], x.shape).double().flatten(1) for name, x in content(like, part).items()]
    return torch.cat(flat, dim=1) if flat else torch.zeros(len(state), 1, dtype=torch.double)


def _size_and_way(now: Tensor, before: Tensor) -> tuple[float, float]:
    size = now.norm(dim=1)
    return float(size.mean()), float(((now - before).norm(dim=1) / size.clamp(min=1e-300)).mean())
