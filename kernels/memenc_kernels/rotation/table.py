"""Angles of a rotation, as tables that any kernel can read."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Rotation of pairs of numbers by angles that depend on the place: cosine, sine (..., tokens, pairs).

    `interleaved` pairs (0, 1), (2, 3), ...; otherwise number i is paired with i + pairs. Numbers behind the pairs stay.
    """

    cosine: Tensor
    sine: Tensor
    interleaved: bool = False

    @classmethod
    def by(cls, positions: Tensor, inverse_frequencies: Tensor, interleaved: bool, dtype: torch.dtype) -> Self:
        """Rotation by position * frequency, its tables of this type.

        Positions (..., tokens); angles are computed in float64, in which positions of any length of document are exact.
        """
        angles = positions.double()[..., None] * inverse_frequencies.double()
        return cls(angles.cos().to(dtype), angles.sin().to(dtype), interleaved)

    def inverse(self) -> Self:
        """The rotation that takes this one off."""
        return self._replace(sine=-self.sine)
