"""Starts the Triton kernels of the gated update, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.gated_update import triton as kernels
from memenc_kernels.gated_update.configurations import SLOTS, configuration_of


def forward(
    slots: Tensor, content: Tensor, keep: Tensor, take: Tensor | None, fresh: Tensor, longest: Tensor
) -> Tensor:
    """Slots after the update."""
    shared = _shared(slots, content, keep, take, fresh, longest)
    after = launch.empty(slots.shape, slots)
    blocks = -(-slots.shape[3] // SLOTS)
    rows = slots.shape[:3].numel()
    launch.start(kernels.update_kernel, (rows * blocks,), slots, after=after, slot_blocks=blocks, **shared)
    return after


def backward(
    gradient: Tensor,
    slots: Tensor,
    content: Tensor,
    keep: Tensor,
    take: Tensor | None,
    fresh: Tensor,
    longest: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of slots, content, keep, take (empty if there is none) and longest."""
    shared = _shared(slots, content, keep, take, fresh, longest)
    found = {
        "slot_gradient": launch.empty(slots.shape, slots),
        "content_gradient": launch.empty(content.shape, content),
        "keep_gradient": launch.empty(keep.shape, keep),
        "take_gradient": launch.empty((0,) if take is None else take.shape, slots if take is None else take),
        "longest_gradient": launch.empty(longest.shape, longest),
    }
    rows = slots.shape[:3].numel()
    launch.start(kernels.update_backward_kernel, (rows,), slots, gradient=gradient.contiguous(), **found, **shared)
    return tuple(found.values())  # pyright: ignore[reportReturnType]


def _shared(
    slots: Tensor, content: Tensor, keep: Tensor, take: Tensor | None, fresh: Tensor, longest: Tensor
) -> dict[str, Any]:
    """Arguments that both kernels have in common."""
    # The same for all documents, or one behind the other.
    fits = keep[:1].is_contiguous() and keep.stride(0) in (0, keep[:1].numel())
    kept = keep if fits else keep.contiguous()
    return {
        "slots": slots.contiguous(),
        "content": content.contiguous(),
        "keep": kept,
        "take": None if take is None else take.contiguous(),
        "fresh": fresh.to(torch.uint8).contiguous(),
        "longest": longest.contiguous(),
        "keep_batch": kept.stride(0),
        "heads": slots.shape[1] * slots.shape[2],
        "slot_count": slots.shape[3],
        "LSTM": take is not None,
        **configuration_of(slots.shape[4]),
    }
