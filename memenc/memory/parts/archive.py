"""Growing lists of entries per document: kept in front, with room behind, or bounded with the newest last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from memenc.memory.base import newest_valid


def append(archive: Tensor, new: Tensor, filled: Tensor, bound: int | None) -> Tensor:
    """The archive (batch, heads, entries, dim) with `new` behind the `filled` (batch,) entries of each document.

    With a `bound` it has that many entries, newest last, and the oldest make room. Otherwise it has room for as many as
    the longest document needs, which is what is waited for on a GPU: without, it would grow by what every document of
    a batch brings.
    """
    new = new.to(archive.dtype)
    if bound is not None:
        return torch.cat([archive, new], dim=2)[:, :, -bound:]
    longer = functional.pad(archive, (0, 0, 0, max(0, _longest(archive, filled) + new.shape[2] - archive.shape[2])))
    place = filled[:, None] + torch.arange(new.shape[2], device=new.device)
    return longer.scatter(2, place[:, None, :, None].expand_as(new), new)


def _longest(archive: Tensor, filled: Tensor) -> int:
    """Entries of the longest document; where there are no numbers, to count costs, as many as there are places."""
    return archive.shape[2] if filled.is_meta or not len(filled) else int(filled.max())


def filled_after(filled: Tensor, new: int, bound: int | None) -> Tensor:
    """How many entries each document has once `new` are appended."""
    return filled + new if bound is None else (filled + new).clamp(max=bound)


def archived(archive: Tensor, filled: Tensor, bound: int | None) -> Tensor:
    """Which entries are there, (batch, entries)."""
    if bound is not None:
        return newest_valid(filled, bound)
    return torch.arange(archive.shape[2], device=archive.device) < filled[:, None]
