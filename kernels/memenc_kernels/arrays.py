"""Tensors as kernels take them: where they begin and how far apart their numbers lie."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from memenc_kernels.checks import with_unit_stride


class Array(NamedTuple):
    """A tensor in a kernel; strides in numbers, of the axes that are addressed."""

    start: Any
    strides: Any


def of_vectors(tensor: Tensor) -> Array:
    """Vectors whose numbers lie side by side, copied if they do not; strides of all axes but theirs."""
    tensor = with_unit_stride(tensor)
    return Array(tensor, tensor.stride()[:-1])


def of_numbers(tensor: Tensor) -> Array:
    """Numbers, each by its place; masks as bytes."""
    return Array(tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor, tensor.stride())
