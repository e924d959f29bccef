"""Which share of its attention the last segment gives to memory, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from memenc.backbones.attention import AttentionContext, GroupContext, HandedDown
from memenc.backbones.row import LayerCall
from memenc.diagnostics.knockout import Place
from memenc.model import MemencModel


@final
class _Watching(AttentionContext):
    """Answers as the context does that it stands for, and sees how much of each answer is memory.

    Attention is linear in its values: one added to those of the segment's own tokens is found again in the answer as
    their share, whatever the design does with the rest.
    """

    def __init__(self, context: GroupContext) -> None:
        self.context = context
        self.shares: list[float] = []

    def attend(self, call: LayerCall) -> Tensor:
        """What the context answers."""
        row, length = self.context.row, call.values.shape[2]
        own = slice(0, length) if row is None else slice(row.before, length - row.after)
        one = torch.zeros_like(call.values)
        one[:, :, own] = 1.0
        # Asked of a copy, as a context keeps the states that its answers leave.
        copy = replace(self.context, new_states=[*self.context.new_states], losses=[])
        moved = copy.attend(replace(call, values=call.values + one))
        answer = self.context.attend(call)
        self.shares.append(1 - float((moved - answer)[:, :, own].double().mean()))
        return answer


@torch.no_grad()
def attention_shares(model: MemencModel, documents: Tensor, places: Sequence[Place]) -> dict[str, float]:
    """Share of the last segment's attention that goes to memory, 0 to 1, by the name of the place.

    Mean over tokens, heads and documents (documents, segments, tokens). Parts of a composition share one number, that
    of their layer; a memory over the top that comes back as tokens in the row has the mean over layers. What is added
    to attention takes nothing from it.
    """
    before = model(documents[:, :-1].flatten(1), output_token_states=False).memory
    watching: list[_Watching] = []

    def watch(backbone: nn.Module, arguments: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        handed_down = cast(HandedDown, named["memory_context"])
        watching.append(_Watching(cast(GroupContext, handed_down.context)))
        return arguments, named | {"memory_context": watching[-1]}

    handle = model.backbone.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        model(documents[:, -1], memory=before, output_token_states=False)
    finally:
        handle.remove()
    # One whole segment is one call of the backbone.
    (watched,) = watching
    layers = {f"layers.{index}": share for index, share in enumerate(watched.shares)}
    found = {place.name: share for place in places for name, share in layers.items() if _within(place.prefix, name)}
    mean = sum(watched.shares) / len(watched.shares)
    return found | {place.name: mean for place in places if place.name not in found and place.heard == "tokens"}


def _within(prefix: str, name: str) -> bool:
    return prefix == name or prefix.startswith(f"{name}.")
