"""Every shipped build of linear memory, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.linear_memory.configurations import Configuration, configuration_of
from memenc_kernels.signatures import TYPES, build_of, vectors

DIMS = (32, 48, 64, 80, 96, 128)
FORWARD = ("written_kernel", "removed_kernel", "matrix_kernel", "look_up_kernel", "normaliser_kernel")
BACKWARD = (
    "queries_backward_kernel",
    "look_up_backward_kernel",
    "matrix_backward_kernel",
    "known_backward_kernel",
    "keys_backward_kernel",
    "normaliser_backward_kernel",
)
OF_STATE = ("matrix_kernel", "matrix_backward_kernel", "normaliser_kernel", "normaliser_backward_kernel")
# In the type of the tokens; all other pointers are to the state or to masks.
TOKENS = ("retrieved", "query_gradient", "key_gradient", "value_gradient")
INPUTS = ("queries", "keys", "values", "gradient")
MASKS = ("complete", "known", "cuts")
NUMBERS = ("segments", "heads", "group", "tokens", "width", "token_blocks")


def builds(architecture: Architecture) -> Iterator[Build]:
    """All kernels for all sizes; those that never see a token in one type only."""
    for dim in DIMS:
        configuration = configuration_of(architecture, dim)
        for module, kernels in {"triton": FORWARD, "triton_backward": BACKWARD}.items():
            for kernel in kernels:
                for name in TYPES if kernel not in OF_STATE else ("float32",):
                    yield _build(module, kernel, name, configuration, dim == 64 and name in ("float32", "bfloat16"))


def _build(module: str, kernel: str, dtype: str, configuration: Configuration, everyday: bool) -> Build:
    from memenc_kernels.linear_memory import triton, triton_backward

    return build_of(
        f"linear_memory {kernel.removesuffix('_kernel')} {dtype} {configuration.dim}",
        getattr(triton if module == "triton" else triton_backward, kernel),
        configuration.of(kernel) | {"DELTA": True, "CUT": True},
        lambda name: _kind(name, dtype),
        everyday,
    )


def _kind(name: str, dtype: str) -> Any:
    if name in INPUTS:
        return vectors(TYPES[dtype], 4)
    if name in TOKENS:
        return TYPES[dtype]
    if name in MASKS:
        return "*u8"
    return "i32" if name in NUMBERS else "*fp32"
