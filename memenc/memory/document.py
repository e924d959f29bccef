"""The document memory: what the encoder keeps of its own output, constant in size, streamed."""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from memenc.memory.values import State
from memenc_kernels.document_pooling import Pooled, document_pooling

Temperature = Literal["length", "fixed", "hard"]

# Temperatures relative to the one at REFERENCE_TOKENS at which accumulators are kept. They cover documents from one
# token to beyond ten million: log(10,000,000) / log(512) = 2.6.
TEMPERATURES = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
REFERENCE_TOKENS = 512


class DocumentMemory(nn.Module):
    """Running mean and maximum, first and last first-token states, and exact attention pooling of learned queries.

    Attention pooling over a whole document is streamed as in online softmax (Milakov and Gimelshein 2018,
    arXiv:1805.02867): running maximum, sum and weighted sum per query. Attention dilutes as documents grow, so with
    temperature ``"length"`` logits are scaled by ``log(tokens) / log(512)``, tokens being those of the whole document.
    As that number is known only at the end, accumulators are kept at a few temperatures and the two nearest are
    interpolated when the memory is read.

    Args:
        hidden: numbers per token state.
        queries: learned queries.
        temperature: length (scaled as above), fixed (plain softmax), hard (the single best token of each query).
    """

    def __init__(self, hidden: int, queries: int = 4, temperature: str = "length") -> None:
        super().__init__()
        if temperature not in get_args(Temperature):
            raise ValueError(f"document temperature {temperature!r}: choose one of {get_args(Temperature)}")
        if queries < 1:
            raise ValueError(f"document queries {queries}: give at least 1")
        self.hidden, self.queries, self.temperature = hidden, queries, temperature
        self.scales = TEMPERATURES if temperature == "length" else (1.0,)
        self.query = nn.Parameter(torch.empty(queries, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small random queries: nearly uniform attention, but different from each other so that they can part."""
        nn.init.normal_(self.query, std=0.02)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing read; in float32 at least, whatever the type of `like`."""
        dtype = torch.promote_types(like.dtype, torch.float32)

        def full(value: float, *shape: int) -> Tensor:
            return torch.full((batch, *shape), value, dtype=dtype, device=like.device)

        scales = len(self.scales)
        return {
            "tokens": torch.zeros(batch, dtype=torch.long, device=like.device),
            "positions": torch.zeros(batch, dtype=torch.long, device=like.device),
            "mean": full(0.0, self.hidden),
            "maximum": full(-math.inf, self.hidden),
            "first": full(0.0, self.hidden),
            "last": full(0.0, self.hidden),
            "attention_maximum": full(-math.inf, self.queries),
            "attention_sum": full(0.0, self.queries, scales),
            "attention_weighted": full(0.0, self.queries, scales, self.hidden),
        }

    def take_in(self, state: State, token_states: Tensor, valid: Tensor, own_tokens: Tensor) -> State:
        """Take segments in: token_states (batch, segments, tokens, hidden), valid (batch, segments, tokens).

        `own_tokens` (batch,) is how many of the valid ones are the document's own. Documents without a valid token
        keep their state bit for bit.
        """
        with torch.autocast(token_states.device.type, enabled=False):
            return self._take_in(state, token_states, valid, own_tokens)

    def _take_in(self, state: State, token_states: Tensor, valid: Tensor, own_tokens: Tensor) -> State:
        segments = valid.any(-1)
        flat = rearrange(token_states, "batch segments tokens hidden -> batch (segments tokens) hidden")
        flat_valid = rearrange(valid, "batch segments tokens -> batch (segments tokens)")
        first_tokens = torch.where(valid[:, :, 0, None], token_states[:, :, 0].to(state["mean"].dtype), 0.0)
        before = state["attention_maximum"]
        scales = _on_device(self.scales, before.dtype, before.device)
        found = document_pooling(flat, flat_valid, self.query, before, scales)
        after = (
            self._counts_and_mean(state, found.total, flat_valid.sum(1), own_tokens)
            | {"maximum": torch.maximum(state["maximum"], found.highest)}
            | self._ends(state, first_tokens, segments)
            | (self._keep_best(state, flat, flat_valid) if self.temperature == "hard" else _faded(state, found, scales))
        )
        touched = segments.any(-1)
        return {
            name: torch.where(touched.view(-1, *[1] * (new.dim() - 1)), new, state[name]) for name, new in after.items()
        }

    def pooled(self, state: State) -> Tensor:
        """What the learned queries found in the whole document, (batch, queries, hidden); zeros if it is empty."""
        total = state["attention_sum"].clamp(min=torch.finfo(state["attention_sum"].dtype).tiny)
        pooled = state["attention_weighted"] / total[..., None]
        if len(self.scales) == 1:
            return pooled[:, :, 0]
        wanted = state["positions"].clamp(min=1).to(pooled.dtype).log() / math.log(REFERENCE_TOKENS)
        weights = _interpolation(wanted, _on_device(self.scales, pooled.dtype, pooled.device))
        return einsum(pooled, weights, "batch queries scales hidden, batch scales -> batch queries hidden")

    def _counts_and_mean(self, state: State, total: Tensor, new: Tensor, own_tokens: Tensor) -> State:
        positions = state["positions"] + new
        share = (1 / positions.clamp(min=1).to(total.dtype))[:, None]
        # Moving the mean by the difference stays exact where a sum over ten million tokens would lose digits.
        mean = state["mean"] + (total - new[:, None].to(total.dtype) * state["mean"]) * share
        return {"tokens": state["tokens"] + own_tokens, "positions": positions, "mean": mean}

    def _ends(self, state: State, first_tokens: Tensor, segments: Tensor) -> State:
        """First-token states of the first and the last segment; first_tokens (batch, segments, hidden)."""
        documents = torch.arange(len(segments), device=segments.device)
        last = (segments * torch.arange(1, segments.shape[1] + 1, device=segments.device)).amax(1) - 1
        fresh = (state["positions"] == 0)[:, None]
        return {
            "first": torch.where(fresh, first_tokens[:, 0], state["first"]),
            "last": first_tokens[documents, last.clamp(min=0)],
        }

    def _keep_best(self, state: State, flat: Tensor, valid: Tensor) -> State:
        flat = torch.where(valid[..., None], flat.to(state["mean"].dtype), 0.0)
        query = self.query.to(flat.dtype)
        logits = einsum(flat, query, "batch tokens hidden, queries hidden -> batch queries tokens")
        best, place = logits.masked_fill(~valid[:, None], -math.inf).max(-1)
        chosen = flat.gather(1, place[..., None].expand(-1, -1, flat.shape[-1]))
        # Choosing has no gradient; the straight-through factor 1 lets the queries learn by how well their choice did.
        chosen = chosen * (1 + best - best.detach())[..., None]
        better = best > state["attention_maximum"]
        weighted = torch.where(better[..., None, None], chosen[:, :, None], state["attention_weighted"])
        return {
            "attention_maximum": torch.maximum(state["attention_maximum"], best).detach(),
            "attention_sum": torch.where(better[..., None], 1.0, state["attention_sum"]),
            "attention_weighted": weighted,
        }


def _on_device(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """These numbers where they are needed; `torch.compile`, which cannot look into a cache, makes them a constant."""
    if torch.compiler.is_compiling():
        return torch.tensor(numbers, dtype=dtype, device=device)
    return _kept_on_device(numbers, dtype, device)


@functools.cache
def _kept_on_device(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Copied there once: a copy waits for the device, and no graph captures it."""
    # What prediction made first, training must be able to keep for its gradient.
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)


def _faded(state: State, found: Pooled, scales: Tensor) -> State:
    """What was pooled before, seen from the new maximum, with what was found."""
    before = state["attention_maximum"]
    reference = found.maximum.masked_fill(found.maximum == -math.inf, 0.0)[..., None]
    fade = (scales * (before[..., None] - reference)).exp().masked_fill(before[..., None] == -math.inf, 0.0)
    return {
        "attention_maximum": found.maximum,
        "attention_sum": state["attention_sum"] * fade + found.sums,
        "attention_weighted": state["attention_weighted"] * fade[..., None] + found.weighted,
    }


def _interpolation(wanted: Tensor, grid: Tensor) -> Tensor:
    """Linear interpolation weights of `wanted` (batch,) between neighbouring points of `grid`: (batch, points)."""
    wanted = wanted.clamp(grid[0], grid[-1])
    upper = torch.searchsorted(grid, wanted).clamp(1, len(grid) - 1)
    share = (wanted - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
    weights = torch.zeros(len(wanted), len(grid), dtype=grid.dtype, device=grid.device)
    return weights.scatter(1, upper[:, None], share[:, None]).scatter(1, upper[:, None] - 1, 1 - share[:, None])
