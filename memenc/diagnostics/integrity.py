"""What a state must never do: hold numbers that are none, follow padding, or be the same in two layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from memenc.diagnostics.knockout import Place, content
from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState, grown


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


def shared(state: MemoryState, places: Sequence[Place]) -> tuple[tuple[str, str], ...]:
    """Pairs of places that hold exactly the same, the first of them being the lower one."""
    held = {place.name: content(state, place) for place in places}
    return tuple(
        (left, right) for left, right in combinations(held, 2) if held[left] and _equal(held[left], held[right])
    )


def _equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
