"""Every shipped build of document pooling, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

from memenc_kernels.ahead import Build
from memenc_kernels.architectures import Architecture
from memenc_kernels.document_pooling.configurations import configuration_of
from memenc_kernels.signatures import TYPES, signature

# Hidden size, queries, scales.
SIZES = ((384, 4, 8), (384, 4, 1), (768, 4, 8), (1024, 8, 8))
KERNELS = ("logits_kernel", "pool_kernel", "slopes_kernel", "states_backward_kernel", "query_backward_kernel")
# In the type of the tokens; all other pointers are to the state.
TOKENS = ("states", "query", "state_gradient")
NUMBERS = ("stride_batch", "stride_token", "tokens", "queries", "heads", "scale_count", "token_blocks", "splits")


def builds(architecture: Architecture) -> Iterator[Build]:
    """All kernels for all sizes and types."""
    for size in SIZES:
        for kernel in KERNELS:
            for dtype in TYPES:
                yield _build(architecture, size, kernel, dtype)


def _build(architecture: Architecture, size: tuple[int, int, int], kernel: str, dtype: str) -> Build:
    from memenc_kernels.document_pooling import triton

    function = getattr(triton, kernel)
    constants = configuration_of(architecture, *size)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    constants = {name: value for name, value in constants.items() if name in function.arg_names}
    return Build(
        name=f"document_pooling {kernel.removesuffix('_kernel')} {dtype} {'x'.join(map(str, size))}",
        module="memenc_kernels.document_pooling.triton",
        kernel=kernel,
        signature=signature(function.arg_names, constants, lambda name: _kind(name, dtype)),
        options=options,
        everyday=size == SIZES[0] and dtype == "bfloat16",
    )


def _kind(name: str, dtype: str) -> str:
    if name in TOKENS:
        return TYPES[dtype]
    if name == "valid":
        return "*u8"
    return "i32" if name in (*NUMBERS, "split_tokens") else "*fp32"
