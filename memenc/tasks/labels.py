"""Labels that a cross entropy can take."""

from __future__ import annotations

from torch import Tensor


def class_numbers(labels: Tensor, logits: Tensor) -> Tensor:
    """One whole number per row of `logits` (rows, classes), as (rows,) int64.

    Raises:
        ValueError: something else, or a number without a class.
    """
    if labels.is_floating_point() or labels.numel() != len(logits):
        raise ValueError(
            f"single_label_classification needs one whole number per row ({len(logits)}), received "
            f"{labels.dtype} {tuple(labels.shape)}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[-1]:
        raise ValueError(f"labels run from {low} to {high}, the head has {logits.shape[-1]}")
    return labels.view(-1).long()
