"""What the configurations of several kernels share."""

from __future__ import annotations

from memenc_kernels.architectures import Architecture


def block_of(count: int) -> int:
    """The power of two that holds so many numbers; products of matrices want 16 at least."""
    return max(16, 1 << (count - 1).bit_length())


def precision_of(architecture: Architecture) -> str:
    """Of products of float32, as ``tl.dot`` calls it: the error of float32, on NVIDIA by three products of TF32."""
    return "tf32x3" if architecture.backend == "cuda" else "ieee"
