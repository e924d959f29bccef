"""Every shipped build of document pooling, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.document_pooling.configurations import configuration_of
from memenc_kernels.signatures import TYPES, build_of, vectors

# Hidden size, queries, scales.
SIZES = ((384, 4, 8), (384, 4, 1), (768, 4, 8), (1024, 8, 8))
KERNELS = ("logits_kernel", "pool_kernel", "slopes_kernel", "states_backward_kernel", "query_backward_kernel")
NUMBERS = ("tokens", "queries", "heads", "token_blocks", "splits", "split_tokens")


def builds(architecture: Architecture) -> Iterator[Build]:
    """All kernels for all sizes and types."""
    for size in SIZES:
        for kernel in KERNELS:
            for dtype in TYPES:
                yield _build(architecture, size, kernel, dtype)


def _build(architecture: Architecture, size: tuple[int, int, int], kernel: str, dtype: str) -> Build:
    from memenc_kernels.document_pooling import triton

    weighing = triton.Weighing("*fp32", "*fp32", "*fp32", "i32", "i32", "i32")
    kinds = {"states": vectors(TYPES[dtype], 2), "valid": "*u8", "weighing": weighing}
    kinds |= dict.fromkeys(("query", "state_gradient"), TYPES[dtype]) | dict.fromkeys(NUMBERS, "i32")
    return build_of(
        f"document_pooling {kernel.removesuffix('_kernel')} {dtype} {'x'.join(map(str, size))}",
        getattr(triton, kernel),
        configuration_of(architecture, *size),
        lambda name: kinds.get(name, "*fp32"),
        everyday=size == SIZES[0] and dtype == "bfloat16",
    )
