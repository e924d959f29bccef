"""Tile sizes of the ring append: the same on every architecture, none spills."""

from __future__ import annotations

from typing import Any

from memenc_kernels.tiles import block_of

WIDEST = 128


def configuration_of(dim: int, kind: str) -> dict[str, Any]:
    """Constants and options of the kernel."""
    width = block_of(dim)
    # Sums of scores stay within one warp; the matrices of a convolution need the registers of many.
    warps = {"learned_query": 1, "convolution": 8}.get(kind, 4 if width > 64 else 2)
    return {"DIM": dim, "BLOCK_DIM": width, "num_warps": warps}
