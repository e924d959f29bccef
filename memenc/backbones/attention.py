"""The attention function memenc registers with transformers: unfold segments, ask the memory, attend, fold back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from memenc.backbones.placement import begins, placed, share_entries
from memenc.backbones.rotary import Rotary
from memenc.backbones.row import LayerCall, Row
from memenc.memory import LayerMemory, Scanned, SegmentGroup, State, WritePlan
from memenc.memory.values import Joined, all_joined
from memenc_kernels import Line, memory_attention, memory_attention_with_log_weight, rotate

ATTENTION_NAME = "memenc"
# What a backbone may ask of attention that this function would have to ignore, which would be silently wrong.
UNSUPPORTED = ("softcap", "position_bias", "s_aux", "attention_bias", "relative_position_bias")


class AttentionContext(ABC):
    """What travels down the backbone as the keyword `memory_context` and answers its attention calls, in order."""

    @abstractmethod
    def attend(self, call: LayerCall) -> Tensor:
        """Attention output (rows, heads, tokens, dim) of the next layer."""


@final
class HandedDown(AttentionContext):
    """Another context, out of the sight of wrappers.

    FSDP copies every dataclass among the arguments of the layers it wraps. Each layer would then tell its new state to
    a copy, and the memory would be lost without a word.

    Args:
        context: that answers.
    """

    def __init__(self, context: AttentionContext) -> None:
        self.context = context

    def attend(self, call: LayerCall) -> Tensor:
        """What the context answers."""
        return self.context.attend(call)


@final
@dataclass
class GroupContext(AttentionContext):
    """One group of segments on its way through the backbone, rows being (batch segments).

    Args:
        backbone: holds the rotary frequencies.
        memories: one per attention call, in order.
        rotaries: rotation per attention call, None where there is none.
        states: state per attention call before the group; read, never changed.
        valid: (batch, segments, tokens), or None if all are.
        row: tokens that stand beside the segment in every row, before and after it, or None.
        plan: which documents write which segments.
        sliding_window_layers: within_window, full or none (see MemencConfig).
        dropout: share of attention weights set to zero, None for what the backbone asks.
    """

    backbone: nn.Module
    memories: Sequence[LayerMemory]
    rotaries: Sequence[Rotary | None]
    states: Sequence[State]
    valid: Tensor | None
    plan: WritePlan
    row: Row | None = None
    sliding_window_layers: str = "within_window"
    dropout: float | None = 0.0
    new_states: list[State] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)

    def pass_over(self, layers: int) -> None:
        """Go on behind so many of the next layers, which have no memory and were computed before."""
        start = len(self.new_states)
        self.new_states += self.states[start : start + layers]

    def attend(self, call: LayerCall) -> Tensor:
        """Read the memory of the next layer, attend, and keep the state its segments leave."""
        layer = len(self.new_states)
        if layer >= len(self.memories):
            raise ValueError(
                f"the backbone called attention more often than its {len(self.memories)} layers; to save memory use "
                "activation checkpointing of the memenc model, not of the backbone inside it"
            )
        memory, rotary = self.memories[layer], self.rotaries[layer]
        valid = (
            None if self.valid is None else rearrange(self.valid, "batch segments tokens -> (batch segments) tokens")
        )
        call = call if self.dropout is None else replace(call, dropout=self.dropout)
        beside = None if self.row is None else self.row.beside(call)
        call = call if self.row is None else self.row.own(call)
        call = call if valid is None else call.without_padding(valid)
        extra = None
        if self.row is not None and beside is not None:
            extra = self._segments(beside, rotary, self.row.positions(call.keys.device))
        positions = torch.arange(call.keys.shape[2], device=call.keys.device)
        segments = self._segments(call, rotary, positions, extra)
        scanned = memory.scan(self.states[layer], segments, self.plan)
        self.new_states.append(scanned.state)
        if scanned.loss is not None:
            self.losses.append(scanned.loss)
        lines, call, beside = self._placed(scanned.lines, call, beside, memory.sizes.segment_length, rotary)
        in_window = self.sliding_window_layers != "full"
        arguments = _own_arguments(call, valid) | {"lines": lines, "memory_in_sliding_window": in_window}
        if self.row is None or beside is None:
            return self._attend(call, arguments, scanned)
        bias = memory.row_bias()
        seen = self.row.seen_by_segment(arguments, beside, bias)
        scanned = replace(scanned, retrieved=(*self.row.looked_up(call, beside, bias), *scanned.retrieved))
        return self.row.together(self._attend(call, seen, scanned), self.row.attend(beside, call, arguments))

    def _attend(self, call: LayerCall, arguments: dict[str, Any], scanned: Scanned) -> Tensor:
        three = (call.queries, call.keys, call.values)
        if not any(isinstance(retrieved, Joined) for retrieved in scanned.retrieved):
            attended, weight = memory_attention(*three, **arguments, dropout=call.dropout), None
        else:
            attended, weight = memory_attention_with_log_weight(*three, **arguments, dropout=call.dropout)
        return all_joined(attended, weight, scanned.retrieved)

    def _placed(
        self,
        lines: tuple[Line, ...],
        call: LayerCall,
        beside: LayerCall | None,
        segment_length: int,
        rotary: Rotary | None,
    ) -> tuple[tuple[Line, ...], LayerCall, LayerCall | None]:
        """Lines with their keys rotated to where they lie, and the calls in the same frame."""
        segments = self.plan.complete.shape[1]
        lines = tuple(line.of_segments(segments).with_dtype(call.keys.dtype) for line in lines)
        if rotary is None:
            return lines, call, beside

        def turn(tokens: Tensor, positions: Tensor) -> Tensor:
            return rotate(tokens, rotary.rotation(self.backbone, positions, tokens.dtype))

        if not share_entries(lines):
            return tuple(placed(line, turn, None) for line in lines), call, beside
        start = begins(len(call.keys), self.plan.complete.shape[0], segment_length, call.keys.device)
        lines = tuple(placed(line, turn, segment_length) for line in lines)

        def in_group(call: LayerCall) -> LayerCall:
            return replace(call, queries=turn(call.queries, start), keys=turn(call.keys, start))

        return lines, in_group(call), None if beside is None else in_group(beside)

    def _segments(
        self, call: LayerCall, rotary: Rotary | None, positions: Tensor, extra: SegmentGroup | None = None
    ) -> SegmentGroup:
        """Queries, keys and values of all segments, with the rotation to `positions` that they carry."""
        unfold = "(batch segments) heads tokens dim -> batch segments heads tokens dim"
        batch = self.plan.complete.shape[0]
        queries, keys, values = (rearrange(x, unfold, batch=batch) for x in (call.queries, call.keys, call.values))
        rotation = None if rotary is None else rotary.rotation(self.backbone, positions, call.keys.dtype)
        return SegmentGroup(queries, keys, values, extra, rotation)


def _own_arguments(call: LayerCall, valid: Tensor | None) -> dict[str, Any]:
    return {"valid": valid, "scaling": call.scaling, "causal": call.causal, "sliding_window": call.sliding_window}


def attention_function(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    memory_context: AttentionContext | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention in the form transformers calls it; without a `memory_context` it is plain attention."""
    refused = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if refused:
        raise ValueError(f"{type(module).__name__} uses {', '.join(refused)}, which memenc attention does not support")
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    if len({query.dtype, key.dtype, value.dtype}) > 1 and torch.is_autocast_enabled(query.device.type):
        # Positions were rotated in float32, values are as they were projected: as in SDPA, autocast decides for all.
        kind = torch.get_autocast_dtype(query.device.type)
        query, key, value = (x.to(kind) for x in (query, key, value))
    call = LayerCall(query, key, value, scaling, dropout, causal, sliding_window)
    if memory_context is None:
        output = memory_attention(query, key, value, **_own_arguments(call, attention_mask), dropout=dropout)
    else:
        output = memory_context.attend(call)
    return output.transpose(1, 2).contiguous(), None


def attention_mask_function(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Hand the (rows, tokens) mask through as it is; `attention_function` builds what it needs."""
    return None if attention_mask is None else attention_mask.bool()


def register() -> None:
    """Make `attn_implementation="memenc"` known to transformers; calling it again changes nothing."""
    AttentionInterface.register(ATTENTION_NAME, attention_function)
    AttentionMaskInterface.register(ATTENTION_NAME, attention_mask_function)
