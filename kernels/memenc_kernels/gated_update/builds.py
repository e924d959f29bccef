"""Every shipped build of the gated update, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.gated_update.configurations import configuration_of
from memenc_kernels.signatures import TYPES, build_of

DIMS = (32, 64, 80, 128, 256)
GATES = ("ema", "lstm")


def builds(architecture: Architecture) -> Iterator[Build]:
    """Both kernels for all sizes, types and gates."""
    for dim in DIMS:
        for kernel in ("update_kernel", "update_backward_kernel"):
            for dtype in TYPES:
                for gate in GATES:
                    yield _build(dim, kernel, dtype, gate)


def _build(dim: int, kernel: str, dtype: str, gate: str) -> Build:
    from memenc_kernels.gated_update import triton

    constants = configuration_of(dim) | {"LSTM": gate == "lstm"}
    if gate == "ema":
        constants["take"] = None
    kinds = {"fresh": "*u8"} | dict.fromkeys(("keep_batch", "heads", "slot_count", "slot_blocks"), "i32")
    return build_of(
        f"gated_update {kernel.removesuffix('_kernel')} {gate} {dtype} {dim}",
        getattr(triton, kernel),
        constants,
        lambda name: kinds.get(name, TYPES[dtype]),
        everyday=dim == 64 and dtype == "bfloat16",
    )
