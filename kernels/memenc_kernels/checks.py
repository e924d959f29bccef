"""Checks of arguments that every kernel shares; messages name what was received."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TRITON_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def require_shape(name: str, tensor: Tensor, **axes: int | None) -> None:
    """Require these axes, in order; None for any length.

    Raises:
        ValueError: another number of axes, or another length.
    """
    # Every call makes many of these checks: what is said of a fault is made up only where there is one.
    if tensor.dim() != len(axes):
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}; it must be ({_wanted(axes)})")
    for (axis, length), found in zip(axes.items(), tensor.shape, strict=True):
        if length is not None and found != length:
            raise ValueError(
                f"{name} has the shape {tuple(tensor.shape)}, which is {found} along {axis}; it must be "
                f"({_wanted(axes)})"
            )


def _wanted(axes: Mapping[str, int | None]) -> str:
    return ", ".join(axis if length is None else f"{axis}={length}" for axis, length in axes.items())


def require_alike(tensors: Mapping[str, Tensor]) -> None:
    """Require one type and one device.

    Raises:
        ValueError: a tensor is of another type or elsewhere than the first.
    """
    (first, like), *others = tensors.items()
    for name, tensor in others:
        if tensor.dtype != like.dtype:
            raise ValueError(f"{name} is {tensor.dtype}, {first} is {like.dtype}; convert one of them")
    require_together(tensors)


def require_together(tensors: Mapping[str, Tensor | None]) -> None:
    """Require one device of all that are there, the first of which is.

    Raises:
        ValueError: a tensor is elsewhere than the first.
    """
    first, like = next(iter(tensors.items()))
    assert like is not None
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != like.device:
            raise ValueError(f"{name} is on {tensor.device}, {first} is on {like.device}; move one of them")


def require_bool(name: str, tensor: Tensor) -> None:
    """Require a mask of booleans.

    Raises:
        ValueError: it is of another type.
    """
    if tensor.dtype != torch.bool:
        raise ValueError(f"{name} is {tensor.dtype}; give a tensor of torch.bool, such as {name} != 0")


def type_refusal(tensor: Tensor) -> str | None:
    """Why a Triton kernel cannot take tensors of this type, None if it can."""
    if tensor.dtype in TRITON_TYPES:
        return None
    return f"tensors are {tensor.dtype}, kernels take {', '.join(str(dtype) for dtype in TRITON_TYPES)}"


def width_refusal(tensor: Tensor, widest: int) -> str | None:
    """Why a Triton kernel that holds vectors of up to `widest` numbers cannot take these, None if it can."""
    if tensor.shape[-1] > widest:
        return f"vectors have {tensor.shape[-1]} numbers, the kernel takes {widest} at most"
    return type_refusal(tensor)


def with_unit_stride(tensor: Tensor) -> Tensor:
    """The same numbers with neighbours along the last axis, copied only if they are not: gradients may be expanded."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()
