"""Run segments through the backbone, a group at a time, and carry the memory from group to group."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from memenc.backbones.attention import GroupContext, HandedDown
from memenc.backbones.loading import first_position, layer_rotary
from memenc.backbones.row import Row
from memenc.config import MemencConfig
from memenc.encoder.encoded import Encoded, Keep, Through, together
from memenc.encoder.places import layer_memories, row_tokens, top_place
from memenc.encoder.schedule import Group, groups_of
from memenc.lead import SpecialTokens
from memenc.lockstep import gathers_weights, in_step
from memenc.memory import LayerMemory, SegmentGroup, build_memory
from memenc.memory.document import DocumentMemory
from memenc.memory.none import NoMemory
from memenc.memory.parts.scan import detached
from memenc.segments import Pending, Segments
from memenc.state import part_of
from memenc_kernels.dispatch import as_asked_now
from memenc_kernels.products import fast_products

Tensors = dict[str, Tensor]

EVERY_TOKEN = Keep()


class SegmentEncoder(nn.Module):
    """Backbone, one memory per attention layer, the same design over the top, and the document memory.

    Args:
        config: of the model, with its attention layers filled in.
        backbone: with memenc attention.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel) -> None:
        super().__init__()
        layers = config.attention_layers or []
        hidden = backbone.config.hidden_size
        self.hidden = hidden
        self.special = special_tokens(config)
        self.segment_length = config.segment_length
        self.capacity = config.segment_length - self.special.per_segment
        self.sliding_window_layers = config.sliding_window_layers
        self.attention_dropout = config.attention_dropout
        self.bptt_segments = config.bptt_segments
        self.readout_layers = config.readout_layers
        self.rotaries = [layer_rotary(layer) for layer in layers]
        self.backbone = backbone
        self.memories = nn.ModuleList(layer_memories(config))
        self.top_memory = build_memory(config.memory, top_place(config, hidden), config.memory_options)
        width = cast(nn.Embedding, backbone.get_input_embeddings()).weight.shape[1]
        self.row_tokens, self.row_state = row_tokens(config, width, hidden)
        self.first_position = first_position(backbone.config)
        self.document_memory = DocumentMemory(hidden, config.document_queries, config.document_temperature)
        self.checkpointing = False

    def train(self, mode: bool = True) -> SegmentEncoder:
        """As always, but a backbone of which nothing is trained reads as in prediction, without dropout."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    @property
    def layer_memories(self) -> list[LayerMemory]:
        """One memory per attention layer, in the order in which the backbone calls them."""
        return cast(list[LayerMemory], list(self.memories))

    def initial_state(self, batch: int) -> Tensors:
        """State of `batch` documents of which nothing was read."""
        like = next(self.backbone.parameters())
        state = _prefixed("top", self.top_memory.initial_state(batch, like))
        for index, memory in enumerate(self.layer_memories):
            state |= _prefixed(f"layers.{index}", memory.initial_state(batch, like))
        state |= _prefixed("document", self.document_memory.initial_state(batch, like))
        ids = torch.zeros(batch, self.capacity, dtype=torch.long, device=like.device)
        no = torch.zeros(batch, dtype=torch.bool, device=like.device)
        nothing = Pending(ids, ids.new_zeros(batch), started=no, opened=no, closed=no)
        return state | self._current(nothing, state)

    def pending(self, state: Tensors) -> Pending:
        """What the next call must know of the one before: the unfinished segment, and how the document began."""
        current = part_of(state, "current")
        started = state["document.tokens"] + current["length"] > 0
        return Pending(current["ids"], current["length"], started, current["opened"], current["closed"])

    def forward(
        self,
        segments: Segments,
        state: Tensors,
        segments_per_call: int,
        keep: Keep = EVERY_TOKEN,
    ) -> Encoded:
        """Read all segments after `state`; what an unfinished segment leaves is kept apart."""
        state = state | self._current(segments.pending, state)
        groups: list[Encoded] = []
        # Tokens whose states come back in at the bottom are known only when the segment before has been read.
        streams = self.row_tokens is not None and self.row_tokens.streams
        per_call = 1 if streams else segments_per_call
        own_calls = -(-segments.count // per_call)
        segments = in_step(segments, per_call) if gathers_weights(self.backbone) else segments
        both = (*self.memories.modules(), *self.top_memory.modules())
        parts = [part for part in both if isinstance(part, LayerMemory)]
        multiple = math.lcm(*(part.row_multiple for part in parts))
        for number, group in enumerate(groups_of(segments, per_call, self.bptt_segments, multiple)):
            if self.checkpointing and self.training and torch.is_grad_enabled():
                # Non-reentrant only: the other kind cuts the gradient that the state carries back through time.
                encoded = checkpoint(as_asked_now(self._read_group), state, group, keep, use_reentrant=False)
            else:
                encoded = self._read_group(state, group, keep)
            state, states = encoded.state, encoded.token_states
            tie = (0.0 * states).sum() if number >= own_calls and states is not None else None
            # A group's state is let go: in a stream, memory must not grow.
            groups.append(replace(encoded, state={}, token_states=states if keep.token_states else None, tie=tie))
        return together(state, groups, self._writes(segments))

    def _writes(self, segments: Segments) -> Tensor:
        """How many segments times layers are written for every document: losses are means over them."""
        layers = sum(not isinstance(memory, NoMemory) for memory in self.memories)
        return segments.complete.sum(1).clamp(min=1) * max(1, layers)

    def final_document(self, state: Tensors) -> Tensors:
        """The document memory with the unfinished segment taken in, as if the document ended here."""
        return self.document_memory.take_in(
            part_of(state, "document"),
            state["current.states"][:, None],
            state["current.valid"][:, None],
            state["current.length"],
        )

    def _read_group(self, state: Tensors, group: Group, keep: Keep) -> Encoded:
        if self.row_tokens is not None and self.row_tokens.streams and group.plan.cuts(0):
            # What comes back in at the bottom is part of the recurrence.
            state = state | _prefixed("top", detached(part_of(state, "top")))
        through = self._through_backbone(state, group, keep.layers)
        token_states, losses = through.read, through.context.losses
        new = dict(state)
        for index, layer_state in enumerate(through.context.new_states):
            new |= _prefixed(f"layers.{index}", layer_state)
        beside = None if through.beside is None else _over_the_top(through.beside, None)
        segments = _over_the_top(token_states, beside)
        # The readout is one step from every segment.
        top_state = self.top_memory.scan(part_of(state, "top"), segments, replace(group.plan, cut=())).state
        document = self.document_memory.take_in(
            part_of(state, "document"),
            token_states,
            group.plan.complete[..., None].expand(token_states.shape[:3]),
            group.own_tokens,
        )
        new |= _prefixed("top", top_state) | _prefixed("document", document)
        if group.ends:
            new |= self._keep_unfinished(state, token_states, group)
        loss = torch.stack(losses).sum(0) if losses else None
        means = _mean_of_segments(through.last, group.valid) if keep.segment_states else None
        return Encoded(new, through.last, means, loss, through.layers)

    def _through_backbone(self, state: Tensors, group: Group, keep_layers: bool) -> Through:
        """States of tokens and of memory tokens, and the layers' new states."""
        row, inputs = self._row(state, group)
        context = GroupContext(
            backbone=self.backbone,
            memories=self.layer_memories,
            rotaries=self.rotaries,
            states=[part_of(state, f"layers.{index}") for index in range(len(self.memories))],
            valid=group.valid,
            plan=group.plan,
            row=row,
            sliding_window_layers=self.sliding_window_layers,
            dropout=self.attention_dropout if self.training else 0.0,
        )
        if keep_layers or self.readout_layers:
            inputs["output_hidden_states"] = True
        # Layers are hardly larger than four squares of their width.
        with fast_products(4 * group.ids.numel() * self.hidden**2, group.ids.device):
            output = self.backbone(**inputs, memory_context=HandedDown(context))
        if len(context.new_states) != len(self.memories):
            raise ValueError(
                f"{len(self.memories)} layers have a memory, but {len(context.new_states)} left a state: something "
                "round the backbone keeps its attention calls from memenc"
            )
        unfold = "(batch segments) tokens hidden -> batch segments tokens hidden"
        last = rearrange(output.last_hidden_state, unfold, batch=len(group.ids))
        layers = [rearrange(x, unfold, batch=len(group.ids)) for x in output.get("hidden_states") or ()]
        read = torch.stack([layers[index] for index in self.readout_layers]).mean(0) if self.readout_layers else last
        kept = layers if keep_layers else []
        if row is None:
            return Through(last, read, None, tuple(kept), context)
        own = slice(row.before, row.before + group.ids.shape[2])
        beside = torch.cat([last[:, :, : own.start], last[:, :, own.stop :]], dim=2)
        return Through(last[:, :, own], read[:, :, own], beside, tuple(x[:, :, own] for x in kept), context)

    def _row(self, state: Tensors, group: Group) -> tuple[Row | None, dict[str, Any]]:
        """Where memory tokens stand in this group's rows, and what the backbone is called with."""
        fold = "batch segments tokens -> (batch segments) tokens"
        ids = rearrange(group.ids, fold)
        mask = None if group.valid is None else rearrange(group.valid, fold)
        if mask is not None:
            # Nobody reads what stands at padded places, but NaN in the embedding of padding, which no training keeps
            # finite, would reach the gradients of weights as 0 * NaN. So another token stands in for it.
            ids = ids.where(mask, int(self.special.padding == 0))
        types = None if group.types is None else rearrange(group.types, fold)
        if self.row_tokens is None:
            return None, {
                "input_ids": ids,
                "attention_mask": None if mask is None else mask.long(),
                **_token_types(types, 0, 0),
            }
        standing = self.row_tokens.stand(part_of(state, self.row_state))
        before, after, beside = (
            x.repeat_interleave(group.ids.shape[1], 0) for x in (standing.before, standing.after, standing.valid)
        )
        embeddings = self.backbone.get_input_embeddings()(ids)
        own = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
        weight = None if standing.weight is None else standing.weight.repeat_interleave(group.ids.shape[1])
        row = Row(before.shape[1], after.shape[1], beside, self.segment_length, group.ids.shape[1], weight)
        places = torch.arange(ids.shape[1], device=ids.device)
        first, last = row.positions(ids.device).split([row.before, row.after])
        return row, {
            "inputs_embeds": torch.cat([before.to(embeddings.dtype), embeddings, after.to(embeddings.dtype)], dim=1),
            "attention_mask": torch.cat([beside[:, : row.before], own, beside[:, row.before :]], dim=1).long(),
            "position_ids": (torch.cat([first, places, last]) + self.first_position).expand(len(ids), -1),
            **_token_types(types, row.before, row.after),
        }

    def _keep_unfinished(self, state: Tensors, token_states: Tensor, group: Group) -> Tensors:
        """Token states of the unfinished segments that lie in this group."""
        documents = torch.arange(len(group.partial), device=group.partial.device)
        place = group.partial.long().argmax(1)
        here = group.partial.any(1)
        short = self.segment_length - token_states.shape[2]
        states = functional.pad(token_states[documents, place], (0, 0, 0, short))
        # An unfinished segment has padding behind it, so validity is always there.
        valid = functional.pad(cast(Tensor, group.valid)[documents, place], (0, short)) & here[:, None]
        keep = state["current.states"]
        return {
            # Only valid places are kept: what stands in padding is nobody's and may be anything.
            "current.states": torch.where(valid[..., None], states.to(keep.dtype), keep),
            "current.valid": valid | state["current.valid"],
        }

    def _current(self, pending: Pending, state: Tensors) -> Tensors:
        """A fresh unfinished segment: own token ids, their number, and no token states yet."""
        mean = state["document.mean"]
        return _prefixed("current", pending.kept()) | {
            "current.states": mean.new_zeros(len(mean), self.segment_length, mean.shape[1]),
            "current.valid": torch.zeros(len(mean), self.segment_length, dtype=torch.bool, device=mean.device),
        }


def special_tokens(config: MemencConfig) -> SpecialTokens:
    """Special tokens of every segment, as the configuration names them."""
    named = config.special_tokens or {}
    prefix, suffix = tuple(named.get("prefix", ())), tuple(named.get("suffix", ()))
    separator = tuple(named.get("separator", suffix))
    return SpecialTokens(prefix, suffix, named.get("padding") or 0, separator, named.get("own_type", 0))


def _mean_of_segments(token_states: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of the valid tokens (batch, segments, tokens) of every segment, (batch, segments, hidden)."""
    if valid is None:
        return token_states.mean(2)
    kept = torch.where(valid[..., None], token_states, 0.0)
    return kept.sum(2) / valid.sum(2).clamp(min=1)[..., None].to(kept.dtype)


def _token_types(types: Tensor | None, before: int, after: int) -> Tensors:
    """Argument of the backbone for types (rows, tokens); memory tokens are of the type of the text next to them."""
    if types is None:
        return {}
    beside = types[:, :1].expand(-1, before), types[:, -1:].expand(-1, after)
    return {"token_type_ids": torch.cat([beside[0], types, beside[1]], dim=1)}


def _over_the_top(states: Tensor, extra: SegmentGroup | None) -> SegmentGroup:
    """States of the last layer (batch, segments, tokens, hidden) as segments of one head."""
    one_head = rearrange(states, "batch segments tokens hidden -> batch segments 1 tokens hidden")
    return SegmentGroup(one_head, one_head, one_head, extra)


def _prefixed(name: str, tensors: Tensors) -> Tensors:
    return {f"{name}.{key}": value for key, value in tensors.items()}
