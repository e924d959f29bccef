"""Moving average memory: segments summarised by averages, and the averages averaged over segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from einops import einsum, reduce, repeat
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, exact, newest_valid, require_positive, start_of_bias
from memenc.memory.values import Entries, LayerSizes, Segment, State

Average = Literal["unweighted", "weighted", "cumulative"]


@final
class MovingAverageMemory(LayerMemory):
    """Every segment is cut into `slots` equal stretches whose mean keys and values are averaged over segments.

    ``slot = sum over age a of weight(a) * mean of the stretch, a segments ago``. Unweighted: the simple moving average
    over the last `segments`; weighted: learned weights by age, per head; cumulative: the mean of all segments so far.

    Args:
        sizes: of the layer.
        average: unweighted, weighted or cumulative.
        segments: how many segments the first two look back.
        slots: entries read; must divide the segment length.
        initial_bias: start of the learned logit bias per head and slot; None chooses (see `start_of_bias`).
    """

    def __init__(
        self,
        sizes: LayerSizes,
        average: Average = "weighted",
        segments: int = 8,
        slots: int = 16,
        initial_bias: float | None = None,
    ) -> None:
        super().__init__(sizes)
        require_positive(segments=segments, slots=slots)
        if average not in get_args(Average):
            raise ValueError(f"memory option average={average!r}: choose one of {get_args(Average)}")
        if sizes.segment_length % slots:
            raise ValueError(f"slots={slots} does not divide the segment length of {sizes.segment_length} tokens")
        self.average, self.slots = average, slots
        self.kept = 1 if average == "cumulative" else segments
        # One age has the whole weight, whatever is learned.
        self.weighted = average == "weighted" and segments > 1
        self.initial_bias = start_of_bias(initial_bias, sizes, slots)
        self.slot_bias = nn.Parameter(torch.empty(sizes.heads, slots))
        if self.weighted:
            self.age_logits = nn.Parameter(torch.empty(sizes.key_value_heads, self.kept))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One segment looked back on per unit; the cumulative mean of few slots has one size."""
        return {} if options.get("average") == "cumulative" else {"segments": size}

    def reset_parameters(self) -> None:
        """Equal weights for all ages; entries start at the initial bias."""
        nn.init.constant_(self.slot_bias, self.initial_bias)
        if self.weighted:
            nn.init.zeros_(self.age_logits)

    def outlasts_a_segment(self) -> bool:
        """If the average is over more than one segment."""
        return self.average == "cumulative" or self.kept > 1

    def initial_state(self, batch: int, like: Tensor) -> State:
        """No segment summarised yet; newest summary last. A mean over all segments is kept in float32 at least."""
        if self.average == "cumulative":
            like = exact(like)
        shape = (batch, self.sizes.key_value_heads, self.kept, self.slots, self.sizes.head_dim)
        return {"keys": empty(like, *shape), "values": empty(like, *shape), "segments": counter(batch, like)}

    def read(self, state: State) -> Entries:
        """The averages of all slots."""
        weights = self._weights(state["segments"], state["keys"].dtype)
        pattern = "batch heads age slots dim, batch heads age -> batch heads slots dim"
        return Entries(
            einsum(state["keys"], weights, pattern),
            einsum(state["values"], weights, pattern),
            repeat(state["segments"] > 0, "batch -> batch slots", slots=self.slots),
            self.bias(),
        )

    def write(self, state: State, segment: Segment) -> State:
        """Take the stretch means of the segment in."""
        seen = state["segments"]
        return {
            "keys": self._take_in(state["keys"], segment.keys, seen),
            "values": self._take_in(state["values"], segment.values, seen),
            "segments": seen + 1,
        }

    def bias(self) -> Tensor:
        """One number per head and slot."""
        return self.slot_bias

    def positions(self, device: torch.device) -> Tensor:
        """Middle of each stretch, as if it lay in the segment directly before."""
        stretch = self.sizes.segment_length / self.slots
        return (torch.arange(self.slots, device=device) + 0.5) * stretch - 0.5 - self.sizes.segment_length

    def _take_in(self, summaries: Tensor, tokens: Tensor, seen: Tensor) -> Tensor:
        if self.slots == 1:
            # A whole segment is summed up in an order that follows its layout, and that follows the batch.
            tokens = tokens.contiguous()
        means = reduce(tokens, "batch heads (slots stretch) dim -> batch heads 1 slots dim", "mean", slots=self.slots)
        if self.average == "cumulative":
            return summaries + (means - summaries) / (seen + 1).to(summaries.dtype)[:, None, None, None, None]
        return torch.cat([summaries, means], dim=2)[:, :, -self.kept :]

    def _weights(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Weight of every kept summary, (batch, key_value_heads, kept); zero where there is none."""
        valid = newest_valid(seen.clamp(max=self.kept), self.kept)[:, None]
        logits = torch.zeros(self.sizes.key_value_heads, self.kept, device=seen.device, dtype=dtype)
        if self.weighted:
            logits = self.age_logits
        # A document of which nothing was read has no valid summary: its weights must be zeros, not 0 / 0.
        nothing = ~valid.any(-1, keepdim=True)
        weights = logits.masked_fill(~(valid | nothing), -torch.inf).softmax(-1)
        return weights.masked_fill(nothing, 0.0).to(dtype)
