"""Every shipped build of compression, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.compression.configurations import configuration_of
from memenc_kernels.signatures import TYPES, build_of, vectors

DIMS = (32, 64, 80, 128, 256)
KINDS = ("mean", "max", "learned_query")


def builds(architecture: Architecture) -> Iterator[Build]:
    """Both kernels for all sizes, types and kinds."""
    for dim in DIMS:
        for kernel in ("compress_kernel", "compress_backward_kernel"):
            for dtype in TYPES:
                for kind in KINDS:
                    yield _build(dim, kernel, dtype, kind)


def _build(dim: int, kernel: str, dtype: str, kind: str) -> Build:
    from memenc_kernels.compression import triton

    constants = configuration_of(dim) | {"KIND": kind}
    if kind != "learned_query":
        constants["query"] = None
    kinds = {"asked_gradient": "*fp32"} | dict.fromkeys(("keys", "values"), vectors(TYPES[dtype], 3))
    kinds |= dict.fromkeys(("heads", "slots", "rate", "slot_blocks"), "i32")
    return build_of(
        f"compression {kernel.removesuffix('_kernel')} {kind} {dtype} {dim}",
        getattr(triton, kernel),
        constants,
        lambda name: kinds.get(name, TYPES[dtype]),
        everyday=dim == 64 and dtype == "bfloat16",
    )
