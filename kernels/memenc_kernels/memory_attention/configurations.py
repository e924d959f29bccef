"""Block sizes that compile without spills: see ``python -m memenc_kernels.report``."""

from __future__ import annotations

from dataclasses import dataclass

from memenc_kernels.architectures import Architecture

KERNELS = ("forward", "queries", "entries", "tokens")
DIMS = (32, 64, 128)
# Rows of fewer tokens take small blocks; longer ones share one configuration, so nothing is compiled per length.
SHORT = 32
# Architecture, kernel, dim and bytes per number where small blocks would need memory beside the registers.
NEVER_SHORT = {("gfx942", "entries", 32, 4)}


@dataclass(frozen=True)
class Configuration:
    """Queries and keys that one program holds at once, threads in units of a warp, and loads in flight."""

    queries: int
    keys: int
    warps: int
    stages: int = 2


# By kernel and dim, for types of two bytes.
HALF = {
    ("forward", 32): Configuration(128, 64, 4),
    ("forward", 64): Configuration(128, 64, 8),
    ("forward", 128): Configuration(128, 64, 8),
    ("queries", 32): Configuration(64, 64, 4),
    ("queries", 64): Configuration(64, 64, 4),
    ("queries", 128): Configuration(64, 64, 8),
    ("entries", 32): Configuration(64, 64, 4),
    ("entries", 64): Configuration(64, 64, 8),
    ("entries", 128): Configuration(32, 32, 8),
    ("tokens", 32): Configuration(64, 64, 4),
    ("tokens", 64): Configuration(64, 64, 4),
    ("tokens", 128): Configuration(64, 64, 8),
}
# Where an architecture has fewer registers or less memory for the same.
HALF_ELSEWHERE = {
    ("sm_80", "forward", 128): Configuration(128, 32, 8),
    ("sm_80", "entries", 64): Configuration(64, 32, 8),
    ("sm_80", "tokens", 64): Configuration(64, 64, 8),
    ("gfx942", "forward", 64): Configuration(64, 64, 4),
    ("gfx942", "forward", 128): Configuration(64, 64, 4),
    ("gfx942", "queries", 128): Configuration(64, 32, 4),
    ("gfx942", "entries", 64): Configuration(32, 64, 4),
    ("gfx942", "entries", 128): Configuration(32, 32, 4),
    ("gfx942", "tokens", 64): Configuration(32, 64, 4),
    ("gfx942", "tokens", 128): Configuration(32, 32, 4),
}
# Four bytes are multiplied without matrix instructions: small blocks, and by dim the warps that hold them.
FULL_WARPS = {32: 4, 64: 4, 128: 8}
FULL_ELSEWHERE = {
    ("sm_80", "entries", 64): Configuration(32, 32, 8),
    ("sm_80", "tokens", 32): Configuration(32, 32, 8),
    ("sm_90", "forward", 128): Configuration(16, 16, 4),
    ("sm_90", "queries", 128): Configuration(16, 16, 4),
    ("sm_90", "entries", 64): Configuration(32, 32, 8),
    ("sm_90", "entries", 128): Configuration(16, 16, 8),
    ("sm_90", "tokens", 64): Configuration(32, 32, 8),
    ("sm_90", "tokens", 128): Configuration(16, 16, 8),
    ("gfx942", "entries", 128): Configuration(16, 16, 8),
    ("gfx942", "tokens", 128): Configuration(16, 16, 4),
    ("gfx942", "queries", 128): Configuration(32, 32, 4),
    ("gfx942", "forward", 128): Configuration(32, 32, 4),
}


# By architecture, kernel, dim and bytes per number, of rows of any length: where positions and a sliding window take
# more registers than there are beside the blocks above.
SLIDING = {
    ("sm_80", "entries", 32, 2): Configuration(32, 64, 8),
    ("sm_80", "entries", 32, 4): Configuration(32, 32, 8),
    ("sm_80", "entries", 64, 4): Configuration(32, 16, 8),
    ("sm_80", "forward", 128, 4): Configuration(16, 16, 4),
    ("sm_80", "queries", 128, 4): Configuration(16, 16, 4),
    ("sm_80", "tokens", 64, 4): Configuration(16, 16, 4),
    ("sm_80", "tokens", 128, 4): Configuration(16, 16, 4),
    ("sm_90", "tokens", 128, 2): HALF["tokens", 128],
    ("gfx942", "entries", 32, 2): Configuration(32, 64, 4),
    ("gfx942", "entries", 32, 4): Configuration(16, 16, 4),
    ("gfx942", "entries", 64, 4): Configuration(16, 16, 4),
    ("gfx942", "entries", 128, 2): Configuration(16, 32, 4),
    ("gfx942", "entries", 128, 4): Configuration(16, 16, 4),
    ("gfx942", "forward", 32, 2): Configuration(128, 32, 4),
    ("gfx942", "forward", 128, 2): Configuration(64, 32, 4),
    ("gfx942", "queries", 64, 2): Configuration(64, 32, 4),
    ("gfx942", "queries", 128, 2): Configuration(32, 32, 4),
    ("gfx942", "queries", 128, 4): Configuration(16, 16, 4),
    ("gfx942", "tokens", 32, 2): Configuration(32, 64, 4),
    ("gfx942", "tokens", 64, 4): Configuration(16, 16, 4),
    ("gfx942", "tokens", 128, 2): Configuration(16, 32, 4),
}


def configuration(
    architecture: Architecture, kernel: str, dim: int, bytes_per_number: int, tokens: int, sliding: bool = False
) -> Configuration:
    """The configuration to launch.

    Args:
        architecture: of the device.
        kernel: one of KERNELS.
        dim: of a head, rounded up to one of DIMS.
        bytes_per_number: 2 or 4.
        tokens: of a row.
        sliding: whether there is a sliding window.
    """
    key = (architecture.name, kernel, dim, bytes_per_number)
    if sliding and key in SLIDING:
        return SLIDING[key]
    if tokens <= SHORT and key not in NEVER_SHORT:
        # Gradients of wide keys and values need more registers than four warps have, the entries' first.
        widest = {"entries": 128, "tokens": 256, "forward": 256}.get(kernel, 512)
        warps = 8 if dim * bytes_per_number > widest else 4
        return Configuration(16, 32 if bytes_per_number == 2 else 16, warps, stages=1 if kernel == "forward" else 2)
    if bytes_per_number == 4:
        return FULL_ELSEWHERE.get((architecture.name, kernel, dim), Configuration(32, 32, FULL_WARPS[dim]))
    return HALF_ELSEWHERE.get((architecture.name, kernel, dim), HALF[kernel, dim])


def rounded_dim(dim: int) -> int:
    """The smallest of DIMS that holds a head."""
    return next(each for each in DIMS if dim <= each)
