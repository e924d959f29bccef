"""What becomes of a state in a long document: its norms, and how many different entries it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from memenc.diagnostics.knockout import Place, content
from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState

# Keys closer than about a tenth of their typical length count as one.
RESOLUTION = 0.1
# A few documents and entries say how different the entries are; comparing all would cost their number cubed.
DOCUMENTS, ENTRIES = 4, 128
SEGMENTS_PER_CALL = 64


@dataclass(frozen=True)
class Usage:
    """How the entries of a place are used.

    Args:
        entries: how many there are.
        valid: share of them that hold something.
        distinct: effective number of different keys among them, 1 if all are the same, 0 if there are none; of at most
            128 of them.
        values: largest number in the values of those that hold something.
    """

    entries: int
    valid: float
    distinct: float
    values: float


@dataclass(frozen=True)
class Drift:
    """Norms along a long document.

    Args:
        segments: how many had been read at each measurement.
        norms: of every tensor of every place, one per measurement; counters are left out.
        last: what the reading ended with.
    """

    segments: tuple[int, ...]
    norms: dict[str, dict[str, tuple[float, ...]]]
    last: MemencOutput


@torch.no_grad()
def drift(
    model: MemencModel,
    memory: MemoryState,
    documents: Tensor,
    more: int,
    places: Sequence[Place],
    generator: torch.Generator,
) -> Drift:
    """Read on after `memory`: `more` segments of `documents` (documents, segments, tokens), in random order."""
    count = documents.shape[1]
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-more // count))]
    order = torch.cat(rounds)[:more].to(documents.device)
    stops = [0, *(2**power for power in range(more.bit_length()) if 2**power < more), more]
    states, output = [memory], None
    for start, stop in pairwise(stops):
        state = states[-1]
        # In pieces: the token states of thousands of segments would take gigabytes.
        for piece in order[start:stop].split(SEGMENTS_PER_CALL):
            output = model(documents[:, piece].flatten(1), memory=state)
            assert output.memory is not None
            state = output.memory
        states.append(state)
    assert output is not None
    norms = {place.name: _norms(states, place) for place in places}
    return Drift(tuple(count + stop for stop in stops), norms, output)


def _norms(states: Sequence[MemoryState], place: Place) -> dict[str, tuple[float, ...]]:
    # Not before something is written does a tensor show whether it counts.
    names = dict.fromkeys(name for state in states for name in content(state, place))
    return {name: tuple(float(state.part(place.prefix)[name].double().norm()) for state in states) for name in names}


def growth(segments: Sequence[int], norms: Sequence[float]) -> float:
    """Exponent of the norm as a power of the segments read, over the last factor of four or so of the reading.

    A sum over segments has 1, a list that grows 0.5, and what settles has 0; a norm that is not finite has infinity.
    """
    if not all(map(math.isfinite, norms)):
        return math.inf
    earlier = next(index for index, count in enumerate(segments) if 4 * count >= segments[-1])
    earlier = min(earlier, len(segments) - 2)
    if norms[earlier] <= 0 or norms[-1] <= 0:
        return 0.0
    return math.log(norms[-1] / norms[earlier]) / math.log(segments[-1] / segments[earlier])


@torch.no_grad()
def usage(state: MemoryState, place: Place) -> Usage | None:
    """How a place's entries are used, None for a design that has no entries to attend to."""
    entries = place.memory.read(state.part(place.prefix))
    if entries is None or entries.keys.shape[2] == 0:
        return None
    documents = [
        distinct(keys[:, valid])
        for keys, valid in zip(entries.keys[:DOCUMENTS], entries.valid[:DOCUMENTS], strict=True)
    ]
    values = entries.values.transpose(1, 2)[entries.valid].abs().max() if bool(entries.valid.any()) else 0.0
    valid = float(entries.valid.double().mean())
    return Usage(entries.keys.shape[2], valid, sum(documents) / len(documents), float(values))


def distinct(keys: Tensor) -> float:
    """Effective number of different keys (heads, entries, dim), mean over heads.

    It is the exponential of the entropy of the eigenvalues of their similarities, a Gaussian of their distance.

    Source: Friedman and Dieng 2023, the Vendi score (arXiv:2210.02410).
    """
    keys = keys.detach().double()
    count = keys.shape[1]
    if count == 0 or not bool(keys.isfinite().all()):
        return 0.0 if count == 0 else math.nan
    if count > ENTRIES:
        chosen = torch.linspace(0, count - 1, ENTRIES, device=keys.device).round().long()
        keys, count = keys[:, chosen], ENTRIES
    length = keys.square().sum(-1).mean(-1).sqrt().clamp(min=1e-300)
    # Distances from differences: by way of inner products, equal keys would not be quite equal.
    distance = torch.cdist(keys, keys, compute_mode="donot_use_mm_for_euclid_dist") / length[:, None, None]
    share = torch.linalg.eigvalsh((-0.5 * (distance / RESOLUTION).square()).exp() / count).clamp(min=1e-300)
    return float((-(share * share.log()).sum(-1)).exp().mean())
