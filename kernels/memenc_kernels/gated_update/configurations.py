"""Tile sizes of the gated update: the same on every architecture, none spills."""

from __future__ import annotations

from typing import Any

from memenc_kernels.tiles import block_of

WIDEST = 256
SLOTS = 16


def configuration_of(dim: int) -> dict[str, Any]:
    """Constants and options of both kernels."""
    width = block_of(dim)
    return {"DIM": dim, "BLOCK_DIM": width, "BLOCK_SLOTS": SLOTS, "num_warps": 8 if width > 64 else 4}
