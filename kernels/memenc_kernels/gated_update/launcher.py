"""Starts the Triton kernels of the gated update, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.gated_update import triton as kernels
from memenc_kernels.gated_update.arguments import Update
from memenc_kernels.gated_update.configurations import SLOTS, configuration_of


def forward(given: Update) -> Tensor:
    """Slots after the update."""
    slots = given.slots
    after = launch.empty(slots.shape, slots)
    blocks = -(-slots.shape[3] // SLOTS)
    rows = slots.shape[:3].numel()
    launch.start(kernels.update_kernel, (rows * blocks,), slots, after=after, slot_blocks=blocks, **_shared(given))
    return after


def backward(gradient: Tensor, given: Update) -> tuple[Tensor, ...]:
    """Gradients of slots, content, keep, take (empty if there is none) and longest."""
    slots, content, keep, take, _, longest = given
    found = {
        "slot_gradient": launch.empty(slots.shape, slots),
        "content_gradient": launch.empty(content.shape, content),
        "keep_gradient": launch.empty(keep.shape, keep),
        "take_gradient": launch.empty((0,) if take is None else take.shape, slots if take is None else take),
        "longest_gradient": launch.empty(longest.shape, longest),
    }
    rows = slots.shape[:3].numel()
    launch.start(
        kernels.update_backward_kernel, (rows,), slots, gradient=gradient.contiguous(), **found, **_shared(given)
    )
    return tuple(found.values())


def _shared(given: Update) -> dict[str, Any]:
    """Arguments that both kernels have in common."""
    slots, content, keep, take, fresh, longest = given
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
