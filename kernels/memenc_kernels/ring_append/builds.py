"""Every shipped build of the ring append, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.ring_append.configurations import configuration_of
from memenc_kernels.signatures import TYPES, build_of, vectors

DIMS = (32, 64, 80, 128)
KINDS = {"mean": (), "max": (), "convolution": ("key_kernel", "value_kernel"), "learned_query": ("query",)}
NUMBERS = ("heads", "places", "groups", "slots", "window", "rate")


def builds(architecture: Architecture) -> Iterator[Build]:
    """The kernel for all sizes, types and kinds, with a rotation to take off."""
    for dim in DIMS:
        for dtype in TYPES:
            for kind in KINDS:
                yield _build(dim, dtype, kind)


def _build(dim: int, dtype: str, kind: str) -> Build:
    from memenc_kernels.ring_append.triton import append_kernel
    from memenc_kernels.rotation.pairs import turn_for

    constants = configuration_of(dim, kind) | {"KIND": kind}
    constants |= {name: None for names in KINDS.values() for name in names if name not in KINDS[kind]}
    kinds = {"turn": turn_for(dim), "counts": "*i64", "lengths": "*i64"}
    kinds |= dict.fromkeys(NUMBERS, "i32") | dict.fromkeys(("keys", "values"), vectors(TYPES[dtype], 3))
    return build_of(
        f"ring_append {kind} {dtype} {dim}",
        append_kernel,
        constants,
        lambda name: kinds.get(name, TYPES[dtype]),
        everyday=dim == 64 and dtype == "bfloat16",
    )
