"""How every kernel gets its memory and is started."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor


def empty(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for a result; called as ``launch.empty``, so that tests can put guards round it."""
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device=like.device)


def start(kernel: Any, grid: tuple[int, ...], like: Tensor, **arguments: Any) -> None:
    """Start a kernel on the device of `like`; the long dimension stands first in `grid` (65,535 limits the others)."""
    if 0 in grid:
        return
    # Triton starts kernels on the current device, whatever the device of the tensors.
    with torch.cuda.device(like.device) if like.device.type == "cuda" else nullcontext():
        kernel[grid](**arguments, enable_fp_fusion=True)
