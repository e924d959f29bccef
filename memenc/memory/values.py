"""What goes into a memory and what comes out of it: plain values, no behaviour beyond joining them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, cast, final

import torch
from torch import Tensor

from memenc_kernels import Line, Rotation, rotate

State = dict[str, Tensor]
Written = Literal["all", "some", "none"]


@dataclass(frozen=True)
class LayerSizes:
    """What a memory must know of the attention layer it serves.

    Args:
        heads: query heads.
        key_value_heads: heads of keys and values (fewer than `heads` with grouped queries).
        head_dim: numbers per head.
        segment_length: tokens of one full segment, special tokens included.
        sees_order: the layer places memory entries by position (causal attention with rotary positions), so reading
            them at full strength continues what it was pre-trained for.
        first: the backbone's first layer, where tokens have not seen each other yet.
        pools: no layer at all but the readout, which pools what the design keeps of the last layer's states; nothing
            pre-trained is disturbed there.
        scaling: by which the layer multiplies inner products of queries and keys; None for ``head_dim ** -0.5``.
    """

    heads: int
    key_value_heads: int
    head_dim: int
    segment_length: int
    sees_order: bool = False
    first: bool = False
    pools: bool = False
    scaling: float | None = None

    @property
    def scale(self) -> float:
        """Of the logits of a query and what a memory keeps of keys."""
        return self.head_dim**-0.5 if self.scaling is None else self.scaling


@dataclass(frozen=True)
class Entries:
    """What a segment may attend to beside itself.

    Shapes: keys, values (batch, key_value_heads, entries, head_dim); valid (batch, entries) bool; bias (heads,
    entries), a learned addition to their logits: their identity, by age or slot. Keys carry no rotation; attention
    rotates them to the positions the memory names.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True)
class Retrieved(ABC):
    """What a memory looked up for every query by itself, (batch, heads, tokens, head_dim)."""

    values: Tensor

    @abstractmethod
    def join(self, local: Tensor, local_log_weight: Callable[[], Tensor]) -> Tensor:
        """Attention output with what was looked up.

        Args:
            local: what the queries found by attention, like `values`.
            local_log_weight: gives the logarithm of the sum of its exponentials, (batch, heads, tokens, 1).
        """

    def weighed(self, log_weight: Tensor | None) -> Tensor | None:
        """The logarithm of the sum of exponentials of attention (batch, heads, tokens, 1) once this has joined."""
        return log_weight

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, to be folded into rows."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The same kind with other tensors."""
        return replace(self, **tensors)


@final
@dataclass(frozen=True)
class Added(Retrieved):
    """Added to what attention found."""

    def join(self, local: Tensor, local_log_weight: Callable[[], Tensor]) -> Tensor:
        """Their sum."""
        return local + self.values.to(local.dtype)


@final
@dataclass(frozen=True)
class Mixed(Retrieved):
    """Mixed with what attention found; `share` (batch, heads or 1, tokens or 1, 1) is the memory's weight, 0 to 1."""

    share: Tensor

    def join(self, local: Tensor, local_log_weight: Callable[[], Tensor]) -> Tensor:
        """``share * memory + (1 - share) * local``."""
        return torch.lerp(local, self.values.to(local.dtype), self.share.to(local.dtype))


@final
@dataclass(frozen=True)
class Joined(Retrieved):
    """One softmax with what attention found; `log_weight` (batch, heads, tokens, 1) is the memory's sum in it."""

    log_weight: Tensor

    def join(self, local: Tensor, local_log_weight: Callable[[], Tensor]) -> Tensor:
        """The memory's share is the part of the exponentials that it has."""
        gap = self.log_weight - local_log_weight().to(self.log_weight.dtype)
        # A memory that holds nothing has no share, also where there is nothing else.
        share = torch.where(self.log_weight == -torch.inf, -torch.inf, gap).sigmoid()
        return torch.lerp(local, self.values.to(local.dtype), share.to(local.dtype))

    def weighed(self, log_weight: Tensor | None) -> Tensor | None:
        """With its own part, if it holds anything."""
        assert log_weight is not None
        nothing = self.log_weight == -torch.inf
        together = torch.logaddexp(log_weight.to(self.log_weight.dtype), self.log_weight.masked_fill(nothing, 0.0))
        return torch.where(nothing, log_weight.to(together.dtype), together)


def all_joined(attended: Tensor, log_weight: Tensor | None, found: Sequence[Retrieved]) -> Tensor:
    """What attention found and all that memories looked up: each joins what was there before it.

    Args:
        attended: (batch, heads, tokens, head_dim).
        log_weight: of the attended, as `Retrieved.join` takes it; needed where something joins its softmax.
        found: in the order in which they join.
    """
    for retrieved in found:
        attended = retrieved.join(attended, partial(cast, Tensor, log_weight))
        log_weight = retrieved.weighed(log_weight)
    return attended


@dataclass(frozen=True)
class Segment:
    """What full segments offer: each (batch, heads, tokens, head_dim), keys and queries unrotated.

    `extra` holds the same of the memory tokens that travelled in the same row, for designs that have such.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    extra: Segment | None = None


@final
class SegmentGroup:
    """What a group of segments offers; a rotation is taken off queries and keys when somebody asks for them.

    Args:
        queries: as attention has them, (batch, segments, heads, tokens, head_dim).
        keys: likewise, (batch, segments, key_value_heads, tokens, head_dim).
        values: like keys.
        extra: the same of the memory tokens that travelled in the same rows.
        rotation: that queries and keys carry, (tokens, pairs), the same in every segment; None if they carry none.
    """

    def __init__(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        extra: SegmentGroup | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self.rotated_queries, self.rotated_keys, self.values = queries, keys, values
        self.extra, self.rotation = extra, rotation
        self._queries: Tensor | None = None
        self._keys: Tensor | None = None

    @classmethod
    def of_one(cls, segment: Segment) -> Self:
        """The group of this segment alone."""
        extra = None if segment.extra is None else cls.of_one(segment.extra)
        return cls(segment.queries[:, None], segment.keys[:, None], segment.values[:, None], extra)

    @property
    def queries(self) -> Tensor:
        """Queries without the rotation."""
        # By hand: torch.compile breaks its graph at a cached_property.
        if self._queries is None:
            self._queries = self._unrotated(self.rotated_queries)
        return self._queries

    @property
    def keys(self) -> Tensor:
        """Keys without the rotation."""
        if self._keys is None:
            self._keys = self._unrotated(self.rotated_keys)
        return self._keys

    @property
    def count(self) -> int:
        """Segments of the group."""
        return self.values.shape[1]

    def at(self, index: int) -> Segment:
        """One segment of the group."""
        extra = None if self.extra is None else self.extra.at(index)
        return Segment(self.queries[:, index], self.keys[:, index], self.values[:, index], extra)

    def last_keys(self, count: int) -> Tensor:
        """Keys of the last `count` segments without the rotation, which is taken off no others."""
        first = self.count - count
        return self._unrotated(self.rotated_keys[:, first:]) if self._keys is None else self._keys[:, first:]

    def _unrotated(self, tokens: Tensor) -> Tensor:
        return tokens if self.rotation is None else rotate(tokens, self.rotation.inverse())


@dataclass(frozen=True)
class TokenLine(Line):
    """A line to which every segment appends its own last tokens: its `body_keys` carry the rotation of `tokens`."""

    tokens: SegmentGroup | None = None


@dataclass(frozen=True)
class WritePlan:
    """Which documents write which segments of a group.

    Args:
        complete: (batch, segments); only full segments are written, for all others the state stays bit for bit.
        written: for each segment whether it is complete in all, some or none of the documents, known on the host.
        cut: for each segment whether the gradient through the state ends before it; none is cut if left out.
        in_order: every document writes its first segments and then none, known on the host; false if some are left out.
    """

    complete: Tensor
    written: tuple[Written, ...]
    cut: tuple[bool, ...] = ()
    in_order: bool = False

    def cuts(self, index: int) -> bool:
        """Whether the gradient ends before this segment."""
        return bool(self.cut) and self.cut[index]

    def is_one_line(self) -> bool:
        """Whether all states of the group lie on one line: none left out, no gradient cut between them."""
        return self.in_order and not any(self.cut[1:])

    def written_before(self) -> Tensor:
        """How many segments of the group were written before each, (batch, segments)."""
        return self.complete.cumsum(1) - self.complete.long()


@dataclass(frozen=True)
class Scanned:
    """What a group of segments reads from a memory and leaves in it.

    Args:
        lines: what the segments see; keys carry no rotation but in a `TokenLine`, `positions` say where attention
            places them.
        retrieved: in the order in which they join the attention output, (rows, ...).
        state: after the last segment.
        loss: auxiliary loss summed over segments, (batch,), or None.
    """

    lines: tuple[Line, ...]
    retrieved: tuple[Retrieved, ...]
    state: State
    loss: Tensor | None = None
