"""A line: what the segments of a group see of one memory, read from where it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memenc_kernels.checks import require_bool, require_shape


@dataclass(frozen=True)
class Line:
    """What the segments of a group see of one memory, in buffers they share.

    Segment s sees places ``[s * step, s * step + entries)`` of the head with the bodies behind it, in order. So a
    window has its segment length as step; compressed slots have fewer; and entries that change as a whole with every
    segment have ``step == entries``.

    Shapes: head_keys, head_values (batch, key_value_heads, entries, dim): what the state held before the group;
    body_keys, body_values (batch, segments, key_value_heads, step, dim): what each segment appends for those behind it,
    or None for a group of one; what the last segment appends is seen by nobody and may be left out. valid (batch,
    segments, entries) bool: validity for every segment that reads, newest entry last, or None if all are. bias (heads,
    entries) or (heads, 1): added to the logits, by place within what is seen. positions (entries,) relative to the
    first token of the segment that reads, NaN for an entry that is near to every token; None for all near.
    """

    head_keys: Tensor
    head_values: Tensor
    body_keys: Tensor | None = None
    body_values: Tensor | None = None
    valid: Tensor | None = None
    bias: Tensor | None = None
    positions: Tensor | None = None

    @classmethod
    def of_rows(cls, keys: Tensor, values: Tensor, valid: Tensor | None = None, bias: Tensor | None = None) -> Line:
        """The line of entries that every segment has to itself: keys and values (batch, segments, heads, entries, dim).

        Others as in the class; nothing is copied.
        """
        body_keys, body_values = (None, None) if keys.shape[1] == 1 else (keys[:, 1:], values[:, 1:])
        return cls(keys[:, 0], values[:, 0], body_keys, body_values, valid, bias)

    @property
    def entries(self) -> int:
        """What one segment sees."""
        return self.head_keys.shape[2]

    @property
    def step(self) -> int:
        """How far the next segment's view lies behind."""
        return 0 if self.body_keys is None else self.body_keys.shape[3]

    def entry_tensors(self) -> dict[str, Tensor]:
        """Keys and values by name."""
        names = ("head_keys", "head_values", "body_keys", "body_values")
        return {name: tensor for name in names if (tensor := getattr(self, name)) is not None}

    def with_dtype(self, dtype: torch.dtype) -> Line:
        """The same line with keys and values of this type."""
        return replace(self, **{name: tensor.to(dtype) for name, tensor in self.entry_tensors().items()})

    def of_segments(self, segments: int) -> Line:
        """The same line without bodies that nobody sees."""
        if self.body_keys is None or self.body_values is None:
            return self
        if segments == 1:
            return replace(self, body_keys=None, body_values=None)
        return replace(
            self, body_keys=self.body_keys[:, : segments - 1], body_values=self.body_values[:, : segments - 1]
        )

    def check(self, queries: Tensor, key_value_heads: int) -> None:
        """Require shapes that fit the queries (rows, heads, tokens, dim).

        Raises:
            ValueError: one does not.
        """
        batch, heads, dim = self.head_keys.shape[0], queries.shape[1], queries.shape[3]
        if not batch or len(queries) % batch:
            raise ValueError(f"queries have {len(queries)} rows, which {batch} documents of a line cannot share evenly")
        segments, shared = len(queries) // batch, {"key_value_heads": key_value_heads, "dim": dim}
        for name, head in (("head_keys", self.head_keys), ("head_values", self.head_values)):
            require_shape(name, head, batch=batch, key_value_heads=key_value_heads, entries=self.entries, dim=dim)
        self._check_bodies(segments, shared)
        if self.valid is not None:
            require_bool("valid", self.valid)
            require_shape("valid", self.valid, batch=batch, segments=segments, entries=self.entries)
        if self.bias is not None:
            width = 1 if self.bias.shape[-1] == 1 else self.entries
            require_shape("bias", self.bias, heads=heads, entries=width)
        if self.positions is not None:
            require_shape("positions", self.positions, entries=self.entries)

    def _check_bodies(self, segments: int, shared: dict[str, int]) -> None:
        if (self.body_keys is None) != (self.body_values is None):
            raise ValueError("a line has one of body_keys and body_values; give both or neither")
        if self.body_keys is None or self.body_values is None:
            if segments > 1:
                raise ValueError(f"a line that {segments} segments read has no body_keys; give what each appends")
            return
        batch, heads, dim = len(self.head_keys), shared["key_value_heads"], shared["dim"]
        axes = {"batch": batch, "segments": None, "key_value_heads": heads, "step": self.step, "dim": dim}
        for name, body in (("body_keys", self.body_keys), ("body_values", self.body_values)):
            require_shape(name, body, **axes)
            if body.shape[1] < segments - 1 or not self.step:
                raise ValueError(
                    f"{name} has the shape {tuple(body.shape)}; {segments} segments need what {segments - 1} of them "
                    "append, at least one entry each"
                )
