"""Summary memory: every segment leaves a few summary vectors, all of which stand before the next (AutoCompressors)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, require_positive
from memenc.memory.parts.archive import append, archived, filled_after
from memenc.memory.parts.row_tokens import RowSizes, RowTokens, Standing, learned, reset_embeddings
from memenc.memory.values import Entries, LayerSizes, Segment, State


@final
class SummaryMemory(LayerMemory):
    """Over the top: the summaries of all segments so far, or of the newest. With `nearest` the one state that grows.

    Args:
        sizes: over the top.
        tokens: summary tokens of one segment.
        segments: summaries kept, in segments; None keeps all.
    """

    def __init__(self, sizes: LayerSizes, tokens: int = 10, segments: int | None = None) -> None:
        super().__init__(sizes)
        require_positive(tokens=tokens)
        if segments is not None:
            require_positive(segments=segments)
        self.tokens, self.bound = tokens, None if segments is None else segments * tokens

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """The summary of one segment per unit, which bounds them."""
        return {"segments": size}

    def reset_parameters(self) -> None:
        """No parameters."""

    def outlasts_a_segment(self) -> bool:
        """If summaries of more than one segment are kept."""
        return self.bound is None or self.bound > self.tokens

    def initial_state(self, batch: int, like: Tensor) -> State:
        """No summaries."""
        shape = (batch, 1, self.bound or 0, self.sizes.head_dim)
        return {"tokens": empty(like, *shape), "filled": counter(batch, like)}

    def read(self, state: State) -> Entries:
        """All summaries, for the readout."""
        valid = archived(state["tokens"], state["filled"], self.bound)
        return Entries(state["tokens"], state["tokens"], valid)

    def write(self, state: State, segment: Segment) -> State:
        """Append the states of the summary tokens, which stand last in the row."""
        assert segment.extra is not None
        new = segment.extra.values[:, :, -self.tokens :]
        return {
            "tokens": append(state["tokens"], new, state["filled"], self.bound),
            "filled": filled_after(state["filled"], self.tokens, self.bound),
        }


@final
class SummaryTokens(RowTokens):
    """All summaries before the segment, fresh summary tokens behind it.

    Where they start at a share of what the segment sees, all of them share it, however many there are: ``log n`` is
    taken from their logits if there are n times as many as one segment leaves.

    Source: Chevalier et al. 2023, AutoCompressors (arXiv:2305.14788), summary accumulation.

    Args:
        sizes: of the backbone.
        tokens: summary tokens of one segment.
        segments: as for `SummaryMemory`.
    """

    streams: ClassVar[bool] = True
    starts: ClassVar[tuple[str, ...]] = ("summarise",)

    def __init__(self, sizes: RowSizes, tokens: int = 10, segments: int | None = None) -> None:
        super().__init__(sizes)
        self.bound = None if segments is None else segments * tokens
        self.summarise = learned(tokens, sizes.width)
        narrow = sizes.width != sizes.hidden
        self.to_width = nn.Linear(sizes.hidden, sizes.width, bias=False) if narrow else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Different small vectors."""
        reset_embeddings(self.summarise)

    def stand(self, top: State) -> Standing:
        """Summaries of the segments before, and the tokens that will summarise this one."""
        summaries = top["tokens"].squeeze(1).to(self.summarise.dtype)
        summaries = summaries if self.to_width is None else self.to_width(summaries)
        after = self.summarise.expand(len(summaries), -1, -1)
        there = archived(top["tokens"], top["filled"], self.bound)
        valid = torch.cat([there, there.new_ones(after.shape[:2])], dim=1)
        count = valid.sum(1).to(torch.promote_types(after.dtype, torch.float32))
        # A causal backbone reads them at full strength, which there is plain attention to the past.
        weight = None if self.sizes.causal else (after.shape[1] / count).log()
        return Standing(summaries, after, valid, weight)
