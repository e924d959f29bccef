"""Every shipped build of the rotation, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.rotation.configurations import configuration_of
from memenc_kernels.signatures import TYPES, build_of, vectors

DIMS = (32, 64, 80, 128, 256)


def builds(architecture: Architecture) -> Iterator[Build]:
    """The kernel for all sizes and types, forward and as its gradient."""
    for dim in DIMS:
        for dtype in TYPES:
            for back in (False, True):
                yield _build(dim, dtype, back)


def _build(dim: int, dtype: str, back: bool) -> Build:
    from memenc_kernels.rotation.triton import rotate_kernel

    constants = configuration_of(dim) | {"PAIRS": dim // 2, "INTERLEAVED": False, "BACK": back}
    kinds = {"tokens": vectors(TYPES[dtype], 4), "turned": TYPES[dtype]}
    kinds |= dict.fromkeys(("cosine", "sine"), vectors("*fp32", 4))
    return build_of(
        f"rotation {'back ' if back else ''}{dtype} {dim}",
        rotate_kernel,
        constants,
        lambda name: kinds.get(name, "i32"),
        everyday=dim == 64 and dtype == "bfloat16",
    )
