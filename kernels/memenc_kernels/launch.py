"""How every kernel gets its memory and is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

OPTIONS = ("num_warps", "num_stages")


def empty(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for a result; called as ``launch.empty``, so that tests can put guards round it."""
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device=like.device)


def start(kernel: Any, grid: tuple[int, ...], like: Tensor, **arguments: Any) -> None:
    """Start a kernel on the device of `like`; the long dimension stands first in `grid` (65,535 limits the others).

    Kernels of one function can share their arguments: what this one does not have is passed over.
    """
    if 0 in grid:
        return
    # Triton starts kernels on the current device, whatever the device of the tensors.
    with torch.cuda.device(like.device) if like.device.type == "cuda" else nullcontext():
        kernel[grid](**those_of(kernel, arguments), **options_of(arguments), enable_fp_fusion=True)


def those_of(kernel: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a kernel has."""
    return {name: value for name, value in arguments.items() if name in kernel.arg_names}


def options_of(arguments: Mapping[str, Any]) -> dict[str, int]:
    """The options of its compilation among them."""
    return {name: arguments[name] for name in OPTIONS if name in arguments}
