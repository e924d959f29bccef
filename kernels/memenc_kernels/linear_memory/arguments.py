"""What linear memory is given, once it is checked."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Given(NamedTuple):
    """Tensors of `linear_memory`, as there; in the backward pass `matrix` and `normaliser` are those of every segment.

    There they are (batch, segments, key_value_heads, dim, dim) and (batch, segments, key_value_heads, dim).
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    matrix: Tensor
    normaliser: Tensor
    complete: Tensor
    known: Tensor
