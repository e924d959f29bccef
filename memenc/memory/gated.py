"""Gated memory: recurrent slots that look at each segment and change through gates (Block-Recurrent Transformer)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from einops import einsum, repeat
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory.base import LayerMemory, counter, empty, exact, require_positive, start_of_bias
from memenc.memory.values import Entries, LayerSizes, Segment, State
from memenc_kernels import gated_update

Gate = Literal["ema", "lstm"]

# Logits of keeping a slot, from the slot that changes fastest to the slowest: 0.5 to 0.999 is kept of it per segment,
# so that half of it is gone after one segment, and after 760.
FASTEST, SLOWEST = 0.0, 7.0


@final
class GatedMemory(LayerMemory):
    """Slots attend to a segment and to each other, tokens attend to slots; a gate decides what a slot keeps.

    Every slot has a learned identity that is part of its query and never of its content. What it finds, by one
    attention over the segment's keys and values and all slots, is ``h``; then per number of the slot

    * ema: ``slot = g * slot + (1 - g) * W h`` with a learned constant ``g``, slots starting with different ones;
    * lstm: ``slot = sigmoid(F h + f) * slot + sigmoid(I h + i) * W h``, biased towards keeping.

    The first segment fills empty slots as it is. Keys and values of a slot go the same way, per head. A slot is never
    longer than twice the segment's longest key or value: what it holds comes back through ``W h``, and could grow
    without end.

    Source: Hutchins et al. 2022, Block-Recurrent Transformer (arXiv:2203.07852), here between a layer's queries, keys
    and values instead of in a layer of its own.

    Args:
        sizes: of the layer.
        slots: recurrent slots.
        gate: ema or lstm.
        initial_bias: start of the learned logit bias per head and slot; None chooses (see `start_of_bias`).
    """

    def __init__(
        self, sizes: LayerSizes, slots: int = 64, gate: Gate = "ema", initial_bias: float | None = None
    ) -> None:
        super().__init__(sizes)
        require_positive(slots=slots)
        if gate not in get_args(Gate):
            raise ValueError(f"memory option gate={gate!r}: choose one of {get_args(Gate)}")
        self.slots, self.gate = slots, gate
        self.initial_bias = start_of_bias(initial_bias, sizes, slots)
        heads, dim = sizes.key_value_heads, sizes.head_dim
        self.slot_bias = nn.Parameter(torch.empty(sizes.heads, slots))
        self.identity = nn.Parameter(torch.empty(heads, slots, dim))
        self.query_weight = nn.Parameter(torch.empty(heads, dim, dim))
        self.content_weight = nn.Parameter(torch.empty(2, heads, dim, dim))
        self.keep_logits = nn.Parameter(torch.empty(2, heads, slots, dim))
        if gate == "lstm":
            self.keep_weight = nn.Parameter(torch.empty(2, heads, dim, dim))
            self.take_weight = nn.Parameter(torch.empty(2, heads, dim, dim))
            self.take_logits = nn.Parameter(torch.empty(2, heads, slots, dim))
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One slot per unit."""
        return {"slots": size}

    def reset_parameters(self) -> None:
        """Slots take in what their attention finds, at different speeds, and ask for different things."""
        nn.init.constant_(self.slot_bias, self.initial_bias)
        nn.init.normal_(self.identity)
        nn.init.normal_(self.query_weight, std=0.02)
        with torch.no_grad():
            self.content_weight.copy_(torch.eye(self.sizes.head_dim).expand_as(self.content_weight))
            speeds = torch.linspace(FASTEST, SLOWEST, self.slots)
            self.keep_logits.copy_(speeds[:, None].expand_as(self.keep_logits))
            if self.gate == "lstm":
                nn.init.normal_(self.keep_weight, std=0.02)
                nn.init.normal_(self.take_weight, std=0.02)
                self.take_logits.copy_(-self.keep_logits)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Empty slots, in float32 at least: a slow slot changes by less than half precision can tell."""
        like = exact(like)
        shape = (batch, self.sizes.key_value_heads, self.slots, self.sizes.head_dim)
        return {"keys": empty(like, *shape), "values": empty(like, *shape), "segments": counter(batch, like)}

    def read(self, state: State) -> Entries:
        """All slots."""
        valid = repeat(state["segments"] > 0, "batch -> batch slots", slots=self.slots)
        return Entries(state["keys"], state["values"], valid, self.bias())

    def write(self, state: State, segment: Segment) -> State:
        """Let the slots look at the segment, and update them through their gates."""
        slots = torch.stack([state["keys"], state["values"]], dim=1)
        tokens = torch.stack([segment.keys, segment.values], dim=1).to(slots.dtype)
        fresh = (state["segments"] == 0)[:, None, None, None]
        found = self._attend(slots, tokens, fresh)
        content = _per_head(found, self.content_weight)
        longest = 2.0 * tokens.norm(dim=-1).amax(3)
        after = gated_update(slots, content, *self._gates(found), fresh=state["segments"] == 0, longest=longest)
        return {"keys": after[:, 0], "values": after[:, 1], "segments": state["segments"] + 1}

    def bias(self) -> Tensor:
        """One number per head and slot."""
        return self.slot_bias

    def positions(self, device: torch.device) -> Tensor:
        """All slots at the middle of the segment before: they have no place of their own."""
        return torch.full((self.slots,), -0.5 * self.sizes.segment_length - 0.5, device=device)

    def _attend(self, slots: Tensor, tokens: Tensor, fresh: Tensor) -> Tensor:
        """Keys and values that the slots find, (batch, 2, heads, slots, dim)."""
        asked = "batch heads slots dim, heads dim out -> batch heads slots out"
        queries = self.identity.to(slots.dtype) + einsum(slots[:, 0], self.query_weight.to(slots.dtype), asked)
        keys = torch.cat([slots[:, 0], tokens[:, 0]], dim=2)
        logits = queries @ keys.transpose(-1, -2) * self.sizes.head_dim**-0.5
        # Slots of which nothing was written yet are no one's business.
        empty_slots = functional.pad(fresh.expand(-1, 1, 1, self.slots), (0, tokens.shape[3]), value=False)
        weights = logits.masked_fill(empty_slots, -torch.inf).softmax(-1)
        values = torch.cat([slots[:, 1], tokens[:, 1]], dim=2)
        return torch.stack([weights @ keys, weights @ values], dim=1).to(slots.dtype)

    def _gates(self, found: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of keeping a slot and of taking in its content."""
        if self.gate == "ema":
            return self.keep_logits, None
        keep = _per_head(found, self.keep_weight) + self.keep_logits
        return keep, _per_head(found, self.take_weight) + self.take_logits


def _per_head(found: Tensor, weight: Tensor) -> Tensor:
    pattern = "batch both heads slots dim, both heads dim out -> batch both heads slots out"
    # Under autocast products come out in half precision; the state must not.
    return einsum(found, weight.to(found.dtype), pattern).to(found.dtype)
