"""Precision of sums that states add up."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exact(like: Tensor) -> AbstractContextManager:
    """Products in the precision of their operands, also where autocast would take half of it: states add up errors."""
    # Tensors without numbers know no autocast.
    return nullcontext() if like.is_meta else torch.autocast(like.device.type, enabled=False)
