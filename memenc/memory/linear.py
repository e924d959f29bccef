"""Linear memory: one matrix per head that maps keys to values (Infini-attention)."""

from __future__ import annotations

import math
from typing import final, get_args

import torch
from einops import rearrange
from torch import Tensor, nn

from memenc.memory.base import START_SHARE, LayerMemory, counter
from memenc.memory.values import LayerSizes, Mixed, Retrieved, Scanned, Segment, SegmentGroup, State, WritePlan
from memenc_kernels.linear_memory import Rule, linear_memory

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
        self.rule: Rule = rule
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
        one = SegmentGroup.of_one(segment)
        plan = WritePlan(torch.ones(len(segment.keys), 1, dtype=torch.bool, device=segment.keys.device), ("all",))
        return self.scan(state, one, plan).state

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """What the matrix holds under the queries; with no share where nothing was written."""
        nothing = queries.new_zeros(len(queries), 1, self.sizes.key_value_heads, 0, self.sizes.head_dim)
        plan = WritePlan(torch.zeros(len(queries), 1, dtype=torch.bool, device=queries.device), ("none",))
        return self.scan(state, SegmentGroup(queries[:, None], nothing, nothing), plan).retrieved

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """All segments at once but for sums and small products in their order."""
        counts = state["segments"][:, None] + plan.complete.cumsum(1)
        known = counts > plan.complete
        # The heads of a group stand side by side and read one matrix; so must each of their blocks.
        cut = "batch segments (heads group) tokens (blocks dim) -> batch segments (heads blocks group) tokens dim"
        sizes = {"heads": self.sizes.key_value_heads, "blocks": self.blocks}
        found = linear_memory(
            *(rearrange(x, cut, **sizes) for x in (segments.queries, segments.keys, segments.values)),
            matrix=state["matrix"],
            normaliser=state["normaliser"],
            complete=plan.complete,
            known=known,
            rule=self.rule,
            cuts=plan.cut,
        )
        whole = "batch segments (heads blocks group) tokens dim -> (batch segments) (heads group) tokens (blocks dim)"
        share = self.gate_logits.sigmoid()[:, None, None] * rearrange(known, "batch segments -> (batch segments) 1 1 1")
        after = {"matrix": found.matrix, "normaliser": found.normaliser, "segments": counts[:, -1]}
        return Scanned((), (Mixed(rearrange(found.retrieved, whole, **sizes), share),), after)


def start_of_share(initial_share: float | None, sizes: LayerSizes) -> float:
    """Logit of the share at which a memory starts.

    Raises:
        ValueError: a share at which the gate could not learn.
    """
    share = initial_share if initial_share is not None else (0.5 if sizes.pools else START_SHARE)
    if not (isinstance(share, int | float) and 0.0 < share < 1.0):
        raise ValueError(f"memory option initial_share={initial_share!r}: give a number between 0 and 1, both excluded")
    return math.log(share / (1 - share))


def blocks_of(dim: int) -> int:
    """Into how many equal blocks a head of `dim` numbers is cut."""
    return next(blocks for blocks in range(1, dim + 1) if dim % blocks == 0 and dim // blocks <= WIDEST)
