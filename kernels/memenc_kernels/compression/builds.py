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
    """Both kernels for all sizes, types and kinds, with a rotation to take off and without."""
    for dim in DIMS:
        for kernel in ("compress_kernel", "compress_backward_kernel"):
            for dtype in TYPES:
                for kind in KINDS:
                    for rotated in (False, True):
                        yield _build(dim, kernel, dtype, kind, rotated)


def _build(dim: int, kernel: str, dtype: str, kind: str, rotated: bool) -> Build:
    from memenc_kernels.compression import triton
    from memenc_kernels.rotation.pairs import turn_for

    constants = configuration_of(dim, rotated) | {"KIND": kind} | ({} if rotated else {"turn": None})
    if kind != "learned_query":
        constants["query"] = None
    kinds = {"asked_gradient": "*fp32", "turn": turn_for(dim)} | dict.fromkeys(
        ("keys", "values"), vectors(TYPES[dtype], 3)
    )
    kinds |= dict.fromkeys(("heads", "slots", "rate", "slot_blocks"), "i32")
    return build_of(
        f"compression {kernel.removesuffix('_kernel')} {kind} {'rotated ' if rotated else ''}{dtype} {dim}",
        getattr(triton, kernel),
        constants,
        lambda name: kinds.get(name, TYPES[dtype]),
        everyday=dim == 64 and dtype == "bfloat16",
    )
