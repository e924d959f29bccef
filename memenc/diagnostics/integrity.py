"""What a state must never do: hold numbers that are none, or depend on anything but its own document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from memenc.diagnostics.knockout import Place, change, content
from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState, grown

# Relative difference of two readings that differ in nothing, and of two that add up in another order.
SAME, REORDERED, REORDERED_HALF = 1e-5, 1e-3, 0.1
# Segments of the readings that are compared.
SEGMENTS = 4


@dataclass(frozen=True)
class Readings:
    """Names of tensors of state and output that differ between two readings of the same documents.

    Args:
        neighbours: with other documents beside them.
        again: a second time, after other documents.
        piecewise: segment by segment, with the state handed on, instead of all at once in one call of the backbone.
    """

    neighbours: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    piecewise: tuple[str, ...] = ()


@torch.no_grad()
def compared_readings(model: MemencModel, documents: Tensor) -> Readings:
    """Read the first of documents (documents, segments, tokens) in ways that must not matter."""
    document = documents[:1, :SEGMENTS]
    # Itself from behind is another document of the same length.
    beside = [document.flip(1, 2), document.flip(1)]
    pairs = [torch.cat([document, other]).flatten(1) for other in beside]
    with at_once(model, SEGMENTS):
        whole, neighbours, again = (model(ids) for ids in (*pairs, pairs[0]))
    piece, memory = whole, None
    for segment in torch.cat([document, beside[0]]).unbind(1):
        piece = model(segment, memory=memory)
        memory = piece.memory
    half = whole.last_hidden_state.dtype in (torch.float16, torch.bfloat16)
    return Readings(
        neighbours=_differing(whole, neighbours, SAME, 1),
        again=_differing(whole, again, SAME, 2),
        piecewise=_differing(whole, piece, REORDERED_HALF if half else REORDERED, 2),
    )


@contextmanager
def at_once(model: MemencModel, segments: int) -> Iterator[None]:
    """With so many segments in a call of the backbone."""
    before = model.config.segments_per_call
    model.config.segments_per_call = segments
    try:
        yield
    finally:
        model.config.segments_per_call = before


def _differing(left: MemencOutput, right: MemencOutput, most: float, documents: int) -> tuple[str, ...]:
    """Names of what differs by more than that share in the first documents."""
    here, there = _held(left, documents), _held(right, documents)
    return tuple(name for name in here if not _alike(here[name], there[name], most))


def _held(output: MemencOutput, documents: int) -> dict[str, Tensor]:
    assert output.memory is not None and output.last_hidden_state is not None and output.pooler_output is not None
    # The last token's state is there however much was read in the last call.
    tensors = {"last_hidden_state": output.last_hidden_state[:, -1], "pooler_output": output.pooler_output}
    return {name: tensor[:documents] for name, tensor in (tensors | output.memory.tensors).items()}


def _alike(left: Tensor, right: Tensor, most: float) -> bool:
    # What starts at infinity is equal to itself; NaN is named by another check.
    shape = [max(sizes) for sizes in zip(left.shape, right.shape, strict=True)]
    left, right = (grown(x, shape).double().nan_to_num(posinf=0.0, neginf=0.0) for x in (left, right))
    return torch.equal(left, right) or change(left, right) <= most


def non_finite(initial: MemoryState, output: MemencOutput) -> tuple[str, ...]:
    """Names of the tensors of state and output that hold NaN, or an infinity that no fresh state has."""
    assert output.memory is not None
    tensors = dict(output.memory.tensors)
    tensors |= {"last_hidden_state": output.last_hidden_state, "pooler_output": output.pooler_output}
    return tuple(name for name, x in tensors.items() if x is not None and not _sound(x, initial.tensors.get(name)))


def _sound(tensor: Tensor, fresh: Tensor | None) -> bool:
    may_be_infinite = fresh is not None and not bool(fresh.isfinite().all())
    return not bool((tensor.isnan() if may_be_infinite else ~tensor.isfinite()).any())


@torch.no_grad()
def touched_by_padding(model: MemencModel, document: Tensor) -> tuple[str, ...]:
    """Names of the committed tensors in which a bit changes while a document (segments, tokens) reads no full segment.

    It reads half a segment and nothing at all, beside a neighbour that reads a whole one, and alone.
    """
    before = model(document[None].flatten(1), output_token_states=False).memory
    ids = document[:1].expand(3, -1)
    places = torch.arange(ids.shape[1], device=ids.device)
    lengths = torch.tensor([ids.shape[1], ids.shape[1] // 2, 0], device=ids.device)
    mask = places < lengths[:, None]
    together = model(ids, mask, memory=before.fork(3)).memory.select([1, 2])
    alone = MemoryState.cat([model(ids[row : row + 1], mask[row : row + 1], memory=before).memory for row in (1, 2)])
    return tuple(
        name
        for name, tensor in before.tensors.items()
        if not name.startswith("current.") and any(_differs(after.tensors[name], tensor) for after in (together, alone))
    )


def _differs(after: Tensor, before: Tensor) -> bool:
    """Whether any document's bits differ, zeros behind a state that grows left out."""
    before = grown(before.expand(len(after), *before.shape[1:]), after.shape)
    return not bool(((after == before) | (after.isnan() & before.isnan())).all())


def misplaced(model: MemencModel) -> tuple[str, ...]:
    """Names of the layers whose entries do not lie before the segment that reads them, where attention sees places."""
    places = {f"layer {index}": x.positions(model.device) for index, x in enumerate(model.encoder.layer_memories)}
    return tuple(name for name, found in places.items() if found is not None and bool((found >= 0).any()))


def shared(state: MemoryState, places: Sequence[Place]) -> tuple[tuple[str, str], ...]:
    """Pairs of places that hold exactly the same, the first of them being the lower one."""
    held = {place.name: content(state, place) for place in places}
    return tuple(
        (left, right) for left, right in combinations(held, 2) if held[left] and _equal(held[left], held[right])
    )


def _equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
