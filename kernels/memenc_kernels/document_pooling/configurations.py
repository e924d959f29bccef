"""Tile sizes of document pooling by architecture: none spills, none needs more memory than there is."""

from __future__ import annotations

from typing import Any

from memenc_kernels.architectures import Architecture
from memenc_kernels.tiles import block_of, precision_of

# Queries times scales that one tile holds.
MOST_HEADS = 64
# Tokens that one program of a sum goes through, one after the other.
SPLIT_TOKENS = 1024
TOKENS = 32


def configuration_of(architecture: Architecture, hidden: int, queries: int, scales: int) -> dict[str, Any]:
    """Constants and options of all kernels for these sizes."""
    return {
        "HIDDEN": hidden,
        "BLOCK_QUERIES": block_of(queries),
        "BLOCK_HEADS": block_of(queries * scales),
        "BLOCK_TOKENS": TOKENS,
        "BLOCK_COLUMNS": 64 if queries * scales <= 32 else 32,
        "PRECISION": precision_of(architecture),
        "num_warps": 8 if queries * scales > 32 else 4,
        "num_stages": 2,
    }
