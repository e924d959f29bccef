"""Associative memory: memory tokens written into a matrix per layer by the delta rule (ARMT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from einops import einsum, rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory.base import LayerMemory, require_positive, require_weight
from memenc.memory.parts.delta import exact, few_tokens
from memenc.memory.parts.row_tokens import RowSizes, RowTokens, Standing, learned, reset_embeddings
from memenc.memory.values import Added, LayerSizes, Retrieved, Scanned, Segment, SegmentGroup, State, WritePlan

# Products of a feature with its neighbours that the feature map makes: DPFP-3.
NEIGHBOURS = 3
# How far beyond 0 and 1 strengths reach before they are cut, where writing has a cost.
STRETCH = 0.1


@final
class AssociativeMemory(LayerMemory):
    """``A += sum beta/n f(k) (v - f(k) A / w(k))``, ``z += sum gamma/n f(k)``, read as ``f(q) A / w(q)`` and added.

    Written are the keys and values of the memory tokens that stand in every row, through projections of their own,
    ``f`` being DPFP-3 (Schlag et al. 2021, arXiv:2102.11174) at length 1. ``gamma = 1 - f(k) z``, cut to [0, 1] and
    without gradient, keeps the normaliser from growing when a key is written again. Three things keep the matrix
    bounded, which the paper's formula does not: the length of ``f``; ``w(x) = max(f(x) z, 1)``, so that a key unlike
    all others finds little instead of little divided by little; and ``n = f(k) . sum f(k')`` over the tokens of the
    segment, which share a place that several write to. Queries start like keys and the value projection at zero: what
    is alike finds itself, and a fresh memory changes nothing at all. All segments of a group are written at once but
    for small products. State in float32 at least. The backbone's first layer has none: memory tokens know nothing yet.

    Where nothing presses it not to, every segment is written, and each write takes off a little of what was there
    before, which after a hundred thousand segments may be most of it. `write_cost` presses: it makes the mean ``beta``
    a loss and cuts ``beta = (1 + 2c) sigmoid(x) - c``, c = 0.1, to [0, 1], so that what is not worth a write leaves the
    matrix and the normaliser (``gamma beta`` instead of ``gamma``) exactly as they are.

    Source: Rodkin et al. 2024, ARMT (arXiv:2407.04841), here between a layer's queries, keys and values; strengths with
    a cost as the hard concrete gates of Louizos et al. 2018 (arXiv:1712.01312), without their noise.

    Args:
        sizes: of the layer.
        tokens: memory tokens per row.
        key_dim: numbers per projected key and query, at least 2; the matrix has six times as many rows.
        write_cost: what writing at full strength costs in training, beside the task's loss; 0 writes as in the paper.
    """

    needs_layer_below: ClassVar[bool] = True

    def __init__(self, sizes: LayerSizes, tokens: int = 10, key_dim: int = 32, write_cost: float = 0.0) -> None:
        super().__init__(sizes)
        require_positive(tokens=tokens)
        require_weight(write_cost=write_cost)
        if not isinstance(key_dim, int) or key_dim < 2:
            raise ValueError(f"memory option key_dim={key_dim!r}: give a whole number of at least 2")
        self.key_dim, self.write_cost = key_dim, write_cost
        heads, dim = sizes.key_value_heads, sizes.head_dim
        self.query_weight = nn.Parameter(torch.empty(sizes.heads, dim, key_dim))
        self.key_weight = nn.Parameter(torch.empty(heads, dim, key_dim))
        self.value_weight = nn.Parameter(torch.empty(heads, dim, dim))
        self.strength_weight = nn.Parameter(torch.empty(heads, dim))
        self.strength_bias = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One number per key for every unit, and one more."""
        return {"key_dim": size + 1}

    def reset_parameters(self) -> None:
        """Random keys, queries like them, values at zero, tokens written at half strength."""
        nn.init.normal_(self.key_weight, std=self.sizes.head_dim**-0.5)
        with torch.no_grad():
            group = self.sizes.heads // self.sizes.key_value_heads
            self.query_weight.copy_(self.key_weight.repeat_interleave(group, dim=0))
        nn.init.zeros_(self.value_weight)
        nn.init.zeros_(self.strength_weight)
        nn.init.zeros_(self.strength_bias)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing written."""
        heads, rows = self.sizes.key_value_heads, 2 * NEIGHBOURS * self.key_dim
        dtype = torch.promote_types(like.dtype, torch.float32)
        return {
            "matrix": torch.zeros(batch, heads, rows, self.sizes.head_dim, dtype=dtype, device=like.device),
            "normaliser": torch.zeros(batch, heads, rows, dtype=dtype, device=like.device),
        }

    def write(self, state: State, segment: Segment) -> State:
        """Write the memory tokens of one segment."""
        assert segment.extra is not None
        one = SegmentGroup.of_one(segment.extra)
        plan = WritePlan(torch.ones(len(one.keys), 1, dtype=torch.bool, device=one.keys.device), ("all",))
        with exact(one.keys):
            matrices, normalisers, _ = self._written(state, one, plan)
        return {"matrix": matrices[-1], "normaliser": normalisers[-1]}

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """What the matrix holds under the queries."""
        with exact(queries):
            return (self._look_up(queries, state["matrix"], state["normaliser"]),)

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """All segments at once but for sums and small products in their order."""
        with exact(segments.values):
            return self._scan(state, segments, plan)

    def _scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        assert segments.extra is not None
        matrices, normalisers, strength = self._written(state, segments.extra, plan)
        retrieved = self._look_up(
            rearrange(segments.queries, "batch segments heads tokens dim -> (batch segments) heads tokens dim"),
            rearrange(matrices[:-1], "segments batch ... -> (batch segments) ..."),
            rearrange(normalisers[:-1], "segments batch ... -> (batch segments) ..."),
        )
        loss = None
        if self.training and self.write_cost:
            loss = self.write_cost * strength.mean((2, 3)).where(plan.complete, 0.0).sum(1)
        return Scanned((), (retrieved,), {"matrix": matrices[-1], "normaliser": normalisers[-1]}, loss)

    def _written(self, state: State, extra: SegmentGroup, plan: WritePlan) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Matrices and normalisers before each segment and after the last, and strengths of all writes."""
        dtype = state["matrix"].dtype
        whole = plan.complete[:, :, None, None, None]
        # What is not written may be anything, NaN included.
        keys, values = (x.to(dtype).where(whole, 0.0).contiguous() for x in (extra.keys, extra.values))
        features = dpfp(_project(keys, self.key_weight)).where(whole, 0.0)
        values = _project(values, self.value_weight)
        # The last bit must not depend on a document's place in the batch: that of a product with a vector would, and
        # a CPU takes the last few numbers of a float32 tensor through another exponential function than the others.
        logits = (keys * self.strength_weight.to(dtype)[:, None]).sum(-1)
        strength = (logits + self.strength_bias.to(dtype)[:, None]).double().sigmoid().to(dtype)
        share = 1.0 / (features @ features.sum(3)[..., None]).squeeze(-1).clamp(min=1.0)
        taken = share
        if self.write_cost:
            strength = ((1 + 2 * STRETCH) * strength - STRETCH).clamp(0.0, 1.0)
            taken = share * strength
        normalisers = self._normalisers(state["normaliser"], features, taken, plan)
        weight = (features @ torch.stack(normalisers[:-1], 1)[..., None]).squeeze(-1).clamp(min=1.0)
        return few_tokens(state["matrix"], features, weight, strength * share, values, plan), normalisers, strength

    def _normalisers(self, start: Tensor, features: Tensor, share: Tensor, plan: WritePlan) -> list[Tensor]:
        normalisers = [start]
        for index in range(features.shape[1]):
            before = normalisers[-1].detach() if plan.cuts(index) else normalisers[-1]
            normalisers[-1] = before
            feature = features[:, index]
            known = (feature @ before[..., None]).squeeze(-1)
            gamma = (1.0 - known).clamp(0.0, 1.0).detach() * share[:, index]
            normalisers.append(before + (gamma[..., None] * feature).sum(2))
        return normalisers

    def _look_up(self, queries: Tensor, matrix: Tensor, normaliser: Tensor) -> Added:
        features = dpfp(_project(queries.to(matrix.dtype), self.query_weight))
        group = self.sizes.heads // self.sizes.key_value_heads
        pattern = "rows heads ... -> rows (heads group) ..."
        matrix, normaliser = (repeat(x, pattern, group=group) for x in (matrix, normaliser))
        weight = features @ normaliser[..., None]
        return Added((features @ matrix) / weight.clamp(min=1.0))


@final
class WrittenTokens(RowTokens):
    """The same learned tokens behind every segment: they see it, and layers write what they saw.

    Args:
        sizes: of the backbone.
        tokens: memory tokens per row.
    """

    streams: ClassVar[bool] = False

    def __init__(self, sizes: RowSizes, tokens: int = 10) -> None:
        super().__init__(sizes)
        self.tokens = learned(tokens, sizes.width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Different small vectors."""
        reset_embeddings(self.tokens)

    def stand(self, top: State) -> Standing:
        """The same for every document."""
        after = self.tokens.expand(len(top["matrix"]), -1, -1)
        return Standing(after[:, :0], after, torch.ones(after.shape[:2], dtype=torch.bool, device=after.device))


def dpfp(x: Tensor) -> Tensor:
    """``relu([x, -x])`` times itself rolled by 1, 2 and 3, at length 1: (..., dim) to (..., 6 dim), none negative."""
    x = functional.relu(torch.cat([x, -x], dim=-1))
    features = torch.cat([x * x.roll(shift, dims=-1) for shift in range(1, NEIGHBOURS + 1)], dim=-1)
    return functional.normalize(features, dim=-1, eps=1e-6)


def _project(x: Tensor, weight: Tensor) -> Tensor:
    return einsum(x, weight.to(x.dtype), "... heads tokens dim, heads dim key -> ... heads tokens key")
