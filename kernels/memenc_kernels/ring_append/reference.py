"""Torch reference of the ring append: one document after the other, any device, any floating type."""

from __future__ import annotations

import torch
from torch import Tensor

from memenc_kernels.compression import Compression, compress


def ring_append(
    window_keys: Tensor,
    window_values: Tensor,
    slot_keys: Tensor,
    slot_values: Tensor,
    tokens: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    window: int,
    rate: int,
    kind: Compression,
    query: Tensor | None,
    kernels: tuple[Tensor, Tensor] | None,
) -> None:
    """Change the four buffers in place; arguments as the public function's, keys without rotation."""
    for document, (read, length) in enumerate(zip(tokens.tolist(), lengths.tolist(), strict=True)):
        first = max(read - window, 0)
        leaving = max(read + length - window, first) - first
        kept = torch.arange(first, read, device=keys.device) % window_keys.shape[2]
        gone = [
            torch.cat([ring[document, :, kept], new[document, :, :length]], dim=1)[None, :, :leaving]
            for ring, new in ((window_keys, keys), (window_values, values))
        ]
        short = compress(*gone, rate=rate, kind=kind, query=query, kernels=kernels, implementation="torch")
        for slots, new in zip((slot_keys, slot_values), short, strict=True):
            _put(slots[document], new[0], first // rate)
        for ring, new in ((window_keys, keys), (window_values, values)):
            _put(ring[document], new[document, :, :length], read)


def _put(ring: Tensor, new: Tensor, first: int) -> None:
    """Entries of number `first` and on, the last of them where more come than there is room for."""
    size = ring.shape[1]
    places = torch.arange(first, first + new.shape[1], device=ring.device)[-size:] % size
    ring[:, places] = new[:, -size:].to(ring.dtype)


def in_order(ring: Tensor, newest: Tensor, entries: int) -> Tensor:
    """The last `entries` before number `newest` (batch,) of a ring (batch, heads, places, dim), newest last."""
    places = newest[:, None] - entries + torch.arange(entries, device=ring.device)
    places = (places % ring.shape[2])[:, None, :, None].expand(-1, ring.shape[1], -1, ring.shape[3])
    return ring.gather(2, places)
