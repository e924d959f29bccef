"""Builds of kernels by what their arguments are, for the compilation ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memenc_kernels.ahead import Build, Constant
from memenc_kernels.arrays import Array
from memenc_kernels.launch import options_of, those_of

# Types of tokens, as torch and as triton name them.
TYPES = {"float32": "*fp32", "float16": "*fp16", "bfloat16": "*bf16"}


def vectors(kind: str, axes: int) -> Array:
    """Vectors of this kind under so many indices."""
    return Array(kind, ("i32",) * axes)


def build_of(
    name: str, kernel: Any, constants: Mapping[str, Any], kind_of: Callable[[str], Any], everyday: bool
) -> Build:
    """The build of a kernel.

    Args:
        name: for the report.
        kernel: as triton compiles it.
        constants: by name, those of its arguments and the options of its compilation among them.
        kind_of: type of every other argument by its name; tensors begin at addresses divisible by 16.
        everyday: see `Build`.
    """
    known = {name: Constant(value) for name, value in those_of(kernel, constants).items()}
    others = {name: _aligned(kind_of(name)) for name in kernel.arg_names if name not in known}
    function = kernel.fn
    return Build(name, function.__module__, function.__name__, others | known, options_of(constants), everyday=everyday)


def _aligned(kind: Any) -> Any:
    if isinstance(kind, tuple):
        inner = [_aligned(each) for each in kind]
        return tuple(inner) if type(kind) is tuple else type(kind)(*inner)
    return f"{kind}:16" if isinstance(kind, str) and kind.startswith("*") else kind
