"""Tile sizes of compression: the same on every architecture, none spills."""

from __future__ import annotations

from typing import Any

from memenc_kernels.tiles import block_of

WIDEST = 256


def configuration_of(dim: int, rotated: bool) -> dict[str, Any]:
    """Constants and options of both kernels; a rotation to take off needs registers for partners and tables."""
    width = block_of(dim)
    slots, warps = (1024 // width, 4) if rotated else (16, 8 if width > 128 else 4)
    return {"DIM": dim, "BLOCK_DIM": width, "BLOCK_SLOTS": slots, "num_warps": warps}
