"""Torch reference of the gated update: any device, any floating type, autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from memenc_kernels.gated_update.arguments import Update


def gated_update(given: Update) -> Tensor:
    """Slots after the update."""
    slots, content, keep, take, fresh, longest = given
    kept = keep.to(slots.dtype).sigmoid()
    if take is None:
        mixed = torch.lerp(content, slots, kept.expand_as(slots))
    else:
        mixed = kept * slots + take.to(slots.dtype).sigmoid() * content
    mixed = torch.where(fresh[:, None, None, None, None], content, mixed)
    # The square root has no gradient at zero.
    exact = mixed.to(torch.promote_types(mixed.dtype, torch.float32))
    length = exact.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
    return mixed * (longest[..., None, None] / length).clamp(max=1.0).to(mixed.dtype)
