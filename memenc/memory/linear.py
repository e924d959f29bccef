"""Linear memory: one matrix per head that maps keys to values (Infini-attention)."""

from __future__ import annotations

import math
from typing import Literal, final, get_args

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory.base import START_SHARE, LayerMemory, counter
from memenc.memory.delta import affine, exact, removal, running
from memenc.memory.values import LayerSizes, Mixed, Retrieved, Scanned, Segment, State, WritePlan

Rule = Literal["linear", "delta"]

# Heads wider than this (the one over the top) are cut into blocks: a matrix grows with the square of its width.
WIDEST = 128


@final
class LinearMemory(LayerMemory):
    """``M += f(K)^T (V - f(K) M / f(K) z)``, ``z += sum f(K)``, read as ``f(q) M / f(q) z``, with ``f = elu + 1``.

    The linear rule leaves out the subtraction of what the keys already retrieve. What is read is mixed with local
    attention by a learned share per head, which starts small and far from saturation. Over a whole segment the delta
    rule is affine in M, so all matrix products of a group are made at once and only the small ones follow the order of
    the segments. State in float32 at least.

    Source: Munkhdalai et al. 2024, Infini-attention (arXiv:2404.07143); delta rule as in Schlag et al. 2021
    (arXiv:2102.11174).

    Args:
        sizes: of the layer.
        rule: linear or delta.
        initial_share: weight of the memory against local attention at the start, in (0, 1); None chooses 0.05, and 0.5
            over the top.
    """

    def __init__(self, sizes: LayerSizes, rule: Rule = "delta", initial_share: float | None = None) -> None:
        super().__init__(sizes)
        if rule not in get_args(Rule):
            raise ValueError(f"memory option rule={rule!r}: choose one of {get_args(Rule)}")
        self.rule = rule
        self.initial_logit = start_of_share(initial_share, sizes)
        self.blocks = blocks_of(sizes.head_dim)
        self.gate_logits = nn.Parameter(torch.empty(sizes.heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every head starts with the same share."""
        nn.init.constant_(self.gate_logits, self.initial_logit)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing written."""
        heads, dim = self.sizes.key_value_heads * self.blocks, self.sizes.head_dim // self.blocks
        exact = torch.promote_types(like.dtype, torch.float32)
        return {
            "matrix": torch.zeros(batch, heads, dim, dim, dtype=exact, device=like.device),
            "normaliser": torch.zeros(batch, heads, dim, dtype=exact, device=like.device),
            "segments": counter(batch, like),
        }

    def write(self, state: State, segment: Segment) -> State:
        """Add what the segment's keys do not yet retrieve."""
        one = Segment(segment.queries[:, None], segment.keys[:, None], segment.values[:, None])
        plan = WritePlan(torch.ones(len(segment.keys), 1, dtype=torch.bool, device=segment.keys.device), ("all",))
        return self.scan(state, one, plan).state

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """What the matrix holds under the queries; with no share where nothing was written."""
        with exact(queries):
            return (self._look_up(queries, state["matrix"], state["normaliser"], state["segments"] > 0),)

    def scan(self, state: State, segments: Segment, plan: WritePlan) -> Scanned:
        """All segments at once but for sums and small products in their order."""
        with exact(segments.keys):
            return self._scan(state, segments, plan)

    def _scan(self, state: State, segments: Segment, plan: WritePlan) -> Scanned:
        keys, values = (self._in_blocks(x, state["matrix"].dtype) for x in (segments.keys, segments.values))
        # What is not written may be anything, NaN included.
        whole = plan.complete[:, :, None, None, None]
        features, values = feature_map(keys).where(whole, 0.0), values.where(whole, 0.0)
        normalisers = running(state["normaliser"], features.sum(3), plan)
        written = running(state["segments"], plan.complete.long(), plan)
        removed = None
        if self.rule == "delta":
            weight = (features @ torch.stack(normalisers[:-1], 1)[..., None]).squeeze(-1)
            removed = removal(features, weight)
        matrices = affine(state["matrix"], removed, features.transpose(-1, -2) @ values, plan)
        retrieved = self._look_up(
            rearrange(segments.queries, "batch segments heads tokens dim -> (batch segments) heads tokens dim"),
            rearrange(matrices[:-1], "segments batch ... -> (batch segments) ..."),
            rearrange(normalisers[:-1], "segments batch ... -> (batch segments) ..."),
            rearrange(written[:-1], "segments batch -> (batch segments)") > 0,
        )
        after = {"matrix": matrices[-1], "normaliser": normalisers[-1], "segments": written[-1]}
        return Scanned((), (retrieved,), after)

    def _look_up(self, queries: Tensor, matrix: Tensor, normaliser: Tensor, written: Tensor) -> Mixed:
        features = feature_map(self._in_blocks(queries, matrix.dtype))
        group = self.sizes.heads // self.sizes.key_value_heads
        pattern = "rows (heads blocks) ... -> rows (heads group blocks) ..."
        matrix, normaliser = (repeat(x, pattern, blocks=self.blocks, group=group) for x in (matrix, normaliser))
        weight = features @ normaliser[..., None]
        values = features @ matrix / weight.where(written[:, None, None, None], 1.0)
        share = self.gate_logits.sigmoid()[:, None, None] * written[:, None, None, None]
        whole = "rows (heads blocks) tokens dim -> rows heads tokens (blocks dim)"
        return Mixed(rearrange(values, whole, blocks=self.blocks), share)

    def _in_blocks(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        cut = "... heads tokens (blocks dim) -> ... (heads blocks) tokens dim"
        # Sums over another layout round otherwise, and the layout must not decide a document's state.
        return rearrange(x.to(dtype), cut, blocks=self.blocks).contiguous()


def feature_map(x: Tensor) -> Tensor:
    """``elu(x) + 1``: positive, so that the normaliser is."""
    return functional.elu(x) + 1.0


def start_of_share(initial_share: float | None, sizes: LayerSizes) -> float:
    """Logit of the share at which a memory starts.

    Raises:
        ValueError: a share at which the gate could not learn.
    """
    share = initial_share if initial_share is not None else (0.5 if sizes.pools else START_SHARE)
    if not 0.0 < share < 1.0:
        raise ValueError(f"memory option initial_share={initial_share!r}: give a number between 0 and 1, both excluded")
    return math.log(share / (1 - share))


def blocks_of(dim: int) -> int:
    """Into how many equal blocks a head of `dim` numbers is cut."""
    return next(blocks for blocks in range(1, dim + 1) if dim % blocks == 0 and dim // blocks <= WIDEST)
