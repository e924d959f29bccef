"""The gated update of recurrent slots: what they keep, what they take in, how long they may be."""

from __future__ import annotations

from torch import Tensor

from memenc_kernels.checks import (
    require_alike,
    require_bool,
    require_shape,
    require_together,
    type_refusal,
    width_refusal,
)
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.gated_update import reference
from memenc_kernels.gated_update.arguments import Update
from memenc_kernels.gated_update.configurations import WIDEST
from memenc_kernels.gated_update.operators import forward


def gated_update(
    slots: Tensor,
    content: Tensor,
    keep: Tensor,
    take: Tensor | None = None,
    *,
    fresh: Tensor,
    longest: Tensor,
    implementation: Implementation = "auto",
) -> Tensor:
    """``k slots + t content``, shortened to ``longest``, with ``k = sigmoid(keep)`` and ``t = sigmoid(take)``.

    Without `take`, ``t = 1 - k``. Fresh documents take the content as it is.

    Source: Hutchins et al. 2022, Block-Recurrent Transformer (arXiv:2203.07852).

    Args:
        slots: (batch, kinds, heads, slots, dim), the kinds being keys and values.
        content: like slots.
        keep: logits, like slots or broadcast to them.
        take: logits like slots, or None.
        fresh: (batch,) bool, whether the document's slots are empty.
        longest: (batch, kinds, heads), largest length of a slot.
        implementation: auto, triton or torch.

    Raises:
        ValueError: shapes or types do not fit, or Triton was asked for and cannot run.
    """
    require_shape("slots", slots, batch=None, kinds=None, heads=None, slots=None, dim=None)
    batch, kinds, heads, count, dim = slots.shape
    same = {"batch": batch, "kinds": kinds, "heads": heads, "slots": count, "dim": dim}
    keep = keep.expand(slots.shape)
    for name, tensor in {"content": content, **({} if take is None else {"take": take})}.items():
        require_shape(name, tensor, **same)
    require_shape("fresh", fresh, batch=batch)
    require_bool("fresh", fresh)
    require_shape("longest", longest, batch=batch, kinds=kinds, heads=heads)
    require_alike({"slots": slots, "content": content})
    given = Update(slots, content, keep, take, fresh, longest)
    require_together(given._asdict())
    if choose("gated_update", implementation, slots.device, _refusal(slots, keep, longest)) == "triton":
        return forward(*given)
    return reference.gated_update(given)


def _refusal(slots: Tensor, *others: Tensor) -> str | None:
    """Why the Triton kernel cannot take these, None if it can."""
    refusals = (width_refusal(slots, WIDEST), *map(type_refusal, others))
    return next((refusal for refusal in refusals if refusal), None)


__all__ = ["gated_update"]
