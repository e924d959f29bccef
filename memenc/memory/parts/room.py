"""Room behind an archive, in memory or on disk: reading on appends in place instead of copying what is there."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Store = Literal["memory", "disk"]


@dataclass
class Room:
    """A tensor (batch, heads, capacity, dim) of whose entries the first `written` are somebody's."""

    base: Tensor
    written: int


# The room behind each archive that has one. An archive is a view of the front of its room; what lies behind belongs to
# the first who appends to it. A fork of the same state finds more written than it knows of, and moves to its own room.
ROOMS: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
# Threads may read on from one state at the same time.
LOCK = threading.Lock()


def append_in_place(archive: Tensor, new: Tensor, store: Store) -> Tensor:
    """The archive with `new` (batch, heads, tokens, dim) behind all its entries; the archive itself stays as it is.

    Only without gradient, which would need every version there was.
    """
    entries = archive.shape[2]
    longer = entries + new.shape[2]
    room = _reserved(archive, longer)
    if room is None:
        base = _allocate((*archive.shape[:2], 2 * longer, archive.shape[3]), archive, store)
        base[:, :, :entries] = archive
        room = Room(base, longer)
    room.base[:, :, entries:longer] = new
    found = room.base[:, :, :longer]
    with LOCK:
        ROOMS[found] = room
    return found


def _reserved(archive: Tensor, longer: int) -> Room | None:
    """The room behind an archive, if nobody has written there yet: from now on these entries are the caller's."""
    with LOCK:
        room = ROOMS.get(archive)
        if room is None or room.written != archive.shape[2] or room.base.shape[2] < longer:
            return None
        if room.base.is_inference() and not torch.is_inference_mode_enabled():
            return None
        room.written = longer
        return room


def _allocate(shape: tuple[int, ...], like: Tensor, store: Store) -> Tensor:
    """Zeros, in memory or in a file that vanishes with them."""
    if store == "memory":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    size = torch.Size(shape).numel()
    with tempfile.NamedTemporaryFile(prefix="memenc-", delete=False) as file:
        file.truncate(size * like.element_size())
    try:
        return torch.from_file(file.name, shared=True, size=size, dtype=like.dtype).view(shape)
    finally:
        # The mapping keeps the file's contents; its name is gone even if the process is killed.
        Path(file.name).unlink()
