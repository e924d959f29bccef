"""Signatures of kernels, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from memenc_kernels.ahead import Constant

# Types of tokens, as torch and as triton name them.
TYPES = {"float32": "*fp32", "float16": "*fp16", "bfloat16": "*bf16"}


def signature(names: Iterable[str], constants: Mapping[str, Any], kind_of: Callable[[str], str]) -> dict[str, Any]:
    """Type of every argument: a constant, or what `kind_of` says; tensors begin at addresses divisible by 16."""
    return {name: Constant(constants[name]) if name in constants else _aligned(kind_of(name)) for name in names}


def _aligned(kind: str) -> str:
    return f"{kind}:16" if kind.startswith("*") else kind
