"""Torch reference of document pooling: any device, any floating type, autograd."""

from __future__ import annotations

import math

import torch
from einops import einsum
from torch import Tensor

from memenc_kernels.precision import exact


def document_pooling(
    states: Tensor, valid: Tensor, query: Tensor, before: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Total, highest, attention maximum, sum, weighted sum; arguments as the public function's."""
    with exact(states):
        states = torch.where(valid[..., None], states.to(before.dtype), 0.0)
        query, scales = query.to(before.dtype), scales.to(before.dtype)
        highest = states.masked_fill(~valid[..., None], -math.inf).amax(1)
        logits = einsum(states, query, "batch tokens hidden, queries hidden -> batch queries tokens")
        logits = logits.masked_fill(~valid[:, None], -math.inf)
        # The result does not depend on the maximum it is computed from, so no gradient need pass through it.
        maximum = torch.maximum(before, logits.detach().amax(-1))
        reference = maximum.masked_fill(maximum == -math.inf, 0.0)[..., None]
        weights = (scales[:, None] * (logits - reference)[:, :, None].clamp(min=-1e30)).exp()
        weights = weights.masked_fill(~valid[:, None, None], 0.0)
        weighted = einsum(
            weights, states, "batch queries scales tokens, batch tokens hidden -> batch queries scales hidden"
        )
        return states.sum(1), highest, maximum, weights.sum(-1), weighted
