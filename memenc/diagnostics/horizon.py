"""Whether the gradient horizon of training, ``bptt_segments``, is where gradient ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.diagnostics.gradient_reach import SEGMENTS, embeddings_kept, project
from memenc.diagnostics.integrity import at_once
from memenc.model import MemencModel


@dataclass(frozen=True)
class Horizon:
    """Where gradient ends in a model that is trained with a horizon.

    Args:
        segments: the horizon that was tried: the model's own, or the longest that the documents go beyond.
        beyond: largest norm that a segment's token states send to the input embeddings of a segment beyond it, relative
            to what they send to their own; 0 if it is a horizon.
        within: smallest norm that they send to the segment before within it, likewise; None for a horizon of 1.
    """

    segments: int
    beyond: float
    within: float | None


def at_horizon(model: MemencModel, documents: Tensor, horizon: int | None, seed: int) -> Horizon | None:
    """Read the first of documents (documents, segments, tokens) as in training; None if that has no horizon.

    Once segment by segment and once all in one call of the backbone, where designs cut in ways of their own.
    """
    if horizon is None:
        return None
    document = documents[:1, :SEGMENTS]
    segments, before = min(horizon, document.shape[1] - 1), model.encoder.bptt_segments
    model.encoder.bptt_segments = segments
    try:
        found = [_read(model, document, segments, per_call, seed) for per_call in (1, SEGMENTS)]
    finally:
        model.encoder.bptt_segments = before
    near = [within for _, within in found if within is not None]
    return Horizon(segments, max(beyond for beyond, _ in found), min(near, default=None))


@torch.enable_grad()
def _read(model: MemencModel, document: Tensor, horizon: int, per_call: int, seed: int) -> tuple[float, float | None]:
    """What flows beyond the last place where gradient is cut, and what within the horizon before it."""
    with embeddings_kept(model) as embedded, at_once(model, per_call):
        states = model(document.flatten(1)).last_hidden_state
    assert states is not None
    by_segment = states.unflatten(1, document.shape[1:]).unbind(1)
    last = len(by_segment) - 1
    cut = last // horizon * horizon
    beyond = max(_received(by_segment[last], last, embedded, seed)[:cut])
    return beyond, None if horizon == 1 else _received(by_segment[cut - 1], cut - 1, embedded, seed)[cut - 2]


def _received(states: Tensor, segment: int, embedded: list[Tensor], seed: int) -> list[float]:
    """Norm that the states of a segment send to the embeddings of each, relative to those of their own."""
    number = project([states], torch.Generator().manual_seed(seed))
    found = torch.autograd.grad(number, embedded, retain_graph=True, allow_unused=True)
    rows = [torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(embedded, found, strict=True)]
    norms = torch.cat(rows).double().flatten(1).norm(dim=1)
    return (norms / norms[segment].clamp(min=1e-300)).tolist()
