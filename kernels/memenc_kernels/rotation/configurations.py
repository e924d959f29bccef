"""Tile sizes of the rotation: the same on every architecture, none spills."""

from __future__ import annotations

from typing import Any

from memenc_kernels.tiles import block_of

WIDEST = 256
MOST_AXES = 5
# Numbers of a tile: enough loads in flight for each thread, few enough registers.
TILE = 4096


def configuration_of(dim: int) -> dict[str, Any]:
    """Constants and options of the kernel."""
    width = block_of(dim)
    return {"DIM": dim, "BLOCK_DIM": width, "BLOCK_TOKENS": TILE // width, "num_warps": 8}
