"""Tile sizes of linear memory by architecture and head_dim: none spills, none needs more memory than there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from memenc_kernels.architectures import Architecture
from memenc_kernels.tiles import block_of, precision_of

WIDEST = 128
# Matrices of so many segments lie in shared memory at once, 64 KiB each.
SCAN_STAGES_OF_WIDE_HEADS = {"sm_80": 2, "sm_90": 3, "gfx942": 1}


@dataclass(frozen=True)
class Tiles:
    """Tiles of one kind of kernel.

    Args:
        columns: of a matrix per tile.
        inner: numbers of a head that one product of matrices sums up.
        tokens: per tile.
        warps: per program.
        stages: of loops whose loads run ahead, of those along the segments too.
    """

    columns: int
    inner: int
    tokens: int
    warps: int
    stages: int = 2

    def blocks(self, dim: int) -> int:
        """Tiles that cover the columns of a matrix."""
        return -(-dim // self.columns)

    def blocks_of_tokens(self, tokens: int) -> int:
        """Tiles that cover this many tokens."""
        return -(-tokens // self.tokens)


@dataclass(frozen=True)
class Configuration:
    """Tiles of all kernels for heads of `dim` numbers.

    Args:
        dim: numbers per head.
        precision: of products, as ``tl.dot`` calls it.
        tokens: tiles of the kernels over tokens.
        keys: of those that give gradients of keys, which hold more at once.
        asked: of the one that sums up what look-ups ask of a matrix.
        scan: of those along the segments.
    """

    dim: int
    precision: str
    tokens: Tiles
    keys: Tiles
    asked: Tiles
    scan: Tiles

    def of(self, kernel: str) -> dict[str, Any]:
        """Constants and options of the kernel of this name."""
        tiles = self.tiles_of(kernel)
        return {
            "DIM": self.dim,
            "BLOCK_DIM": block_of(self.dim),
            "BLOCK_COLUMNS": tiles.columns,
            "BLOCK_INNER": tiles.inner,
            "BLOCK_TOKENS": tiles.tokens,
            "PRECISION": self.precision,
            "STAGES": tiles.stages,
            "num_warps": tiles.warps,
            "num_stages": tiles.stages,
        }

    def tiles_of(self, kernel: str) -> Tiles:
        """Tiles of the kernel of this name."""
        if kernel in ("matrix_kernel", "matrix_backward_kernel"):
            return self.scan
        if kernel in ("known_backward_kernel", "keys_backward_kernel"):
            return self.keys
        if kernel == "look_up_backward_kernel":
            return self.asked
        if kernel in ("normaliser_kernel", "normaliser_backward_kernel"):
            return Tiles(columns=0, inner=0, tokens=0, warps=1, stages=4)
        if kernel == "queries_backward_kernel" and block_of(self.dim) > 32:
            # With wider tiles it spills.
            return replace(self.tokens, columns=16)
        return self.tokens


def configuration_of(architecture: Architecture, dim: int) -> Configuration:
    """The shipped tiles for heads of this size."""
    precision, width = precision_of(architecture), block_of(dim)
    narrow = min(32, width)
    if width <= 64:
        tokens = Tiles(columns=narrow, inner=width, tokens=64, warps=8)
        keys = Tiles(columns=16, inner=narrow, tokens=32, warps=8, stages=1)
        asked = Tiles(columns=narrow, inner=width, tokens=32, warps=8)
        return Configuration(dim, precision, tokens, keys, asked, Tiles(16, 0, 0, warps=4, stages=3))
    tokens = Tiles(columns=32, inner=32, tokens=32, warps=8)
    keys = Tiles(columns=16, inner=32, tokens=16, warps=8, stages=1)
    asked = Tiles(columns=32, inner=32, tokens=32, warps=8, stages=1)
    scan = Tiles(16, 0, 0, warps=8, stages=SCAN_STAGES_OF_WIDE_HEADS[architecture.name])
    return Configuration(dim, precision, tokens, keys, asked, scan)
