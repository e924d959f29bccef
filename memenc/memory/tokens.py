"""Memory tokens: vectors that go through the whole backbone with every segment and come back in with the next (RMT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, require_positive, start_of_bias
from memenc.memory.parts.row_tokens import RowSizes, RowTokens, Standing, learned, reset_embeddings
from memenc.memory.values import Entries, LayerSizes, Segment, State


@final
class VisibleTokens(LayerMemory):
    """A layer in which a segment sees the row tokens, through a learned bias; it keeps nothing of its own.

    Args:
        sizes: of the layer.
        tokens: memory tokens (for `summary`: of one segment).
        initial_bias: start of the learned logit bias per head; None chooses (see `start_of_bias`).
    """

    def __init__(self, sizes: LayerSizes, tokens: int = 10, initial_bias: float | None = None) -> None:
        super().__init__(sizes)
        require_positive(tokens=tokens)
        self.initial_bias = start_of_bias(initial_bias, sizes, tokens)
        self.token_bias = nn.Parameter(torch.empty(sizes.heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Row tokens start at the initial bias."""
        nn.init.constant_(self.token_bias, self.initial_bias)

    def outlasts_a_segment(self) -> bool:
        """Nothing is kept."""
        return False

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Nothing."""
        return {}

    def write(self, state: State, segment: Segment) -> State:
        """Nothing is kept."""
        return state

    def row_bias(self) -> Tensor:
        """One number per head."""
        return self.token_bias


@final
class CarriedTokens(LayerMemory):
    """Over the top: the last states of the memory tokens, which stand in the next row.

    Args:
        sizes: over the top.
        tokens: memory tokens.
    """

    def __init__(self, sizes: LayerSizes, tokens: int = 10) -> None:
        super().__init__(sizes)
        require_positive(tokens=tokens)
        self.tokens = tokens

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One memory token per unit."""
        return {"tokens": size}

    def reset_parameters(self) -> None:
        """No parameters."""

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Not written yet: row tokens stand at their learned start."""
        return {"tokens": empty(like, batch, 1, self.tokens, self.sizes.head_dim), "segments": counter(batch, like)}

    def read(self, state: State) -> Entries:
        """The memory tokens, for the readout."""
        valid = (state["segments"] > 0)[:, None].expand(-1, self.tokens)
        return Entries(state["tokens"], state["tokens"], valid)

    def write(self, state: State, segment: Segment) -> State:
        """Take over the states of the row tokens that saw the segment: the last ones of the row."""
        assert segment.extra is not None
        tokens = segment.extra.values[:, :, -self.tokens :]
        return {"tokens": tokens.to(state["tokens"].dtype), "segments": state["segments"] + 1}


@final
class RecurrentTokens(RowTokens):
    """Memory tokens before the segment; on a causal backbone once more behind it, where they see it.

    Source: Bulatov et al. 2022, Recurrent Memory Transformer (arXiv:2207.06881).

    Args:
        sizes: of the backbone.
        tokens: memory tokens; 5 to 16 are usual.
    """

    streams: ClassVar[bool] = True
    starts: ClassVar[tuple[str, ...]] = ("start",)

    def __init__(self, sizes: RowSizes, tokens: int = 10) -> None:
        super().__init__(sizes)
        self.start = learned(tokens, sizes.width)
        # Backbones with narrow embeddings widen them before the first layer; the way back is to be learned.
        narrow = sizes.width != sizes.hidden
        self.to_width = nn.Linear(sizes.hidden, sizes.width, bias=False) if narrow else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Different small vectors."""
        reset_embeddings(self.start)

    def stand(self, top: State) -> Standing:
        """The last states, each with its own learned start added, or the start alone where nothing was written."""
        states = top["tokens"].squeeze(1).to(self.start.dtype)
        states = states if self.to_width is None else self.to_width(states)
        # The start is the token's identity too: without it all of them would soon hold the same.
        standing = self.start + torch.where((top["segments"] > 0)[:, None, None], states, 0.0)
        after = standing if self.sizes.causal else standing[:, :0]
        valid = torch.ones(len(states), standing.shape[1] + after.shape[1], dtype=torch.bool, device=states.device)
        return Standing(standing, after, valid)
