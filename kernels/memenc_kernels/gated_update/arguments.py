"""What a gated update is given, once it is checked."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Update(NamedTuple):
    """Arguments of `gated_update`, as there; `keep` has the shape of the slots, if only by expansion."""

    slots: Tensor
    content: Tensor
    keep: Tensor
    take: Tensor | None
    fresh: Tensor
    longest: Tensor
