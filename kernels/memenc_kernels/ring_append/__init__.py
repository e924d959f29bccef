"""Window, compression and slots of streaming inference in one launch, in place."""

from __future__ import annotations

from typing import NamedTuple, get_args

import torch
from torch import Tensor

from memenc_kernels.checks import require_alike, require_shape, require_together, width_refusal
from memenc_kernels.compression import Compression
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.ring_append import reference
from memenc_kernels.ring_append.configurations import WIDEST
from memenc_kernels.ring_append.operators import append
from memenc_kernels.ring_append.reference import in_order
from memenc_kernels.rotation import Rotation, require_rows, rotate


class Rings(NamedTuple):
    """Buffers that `ring_append` changes; token n lies at place n % places, compressed group n at slot n % slots.

    Shapes: window_keys, window_values (batch, heads, places, dim); slot_keys, slot_values (batch, heads, slots, dim).
    """

    window_keys: Tensor
    window_values: Tensor
    slot_keys: Tensor
    slot_values: Tensor


class How(NamedTuple):
    """How tokens are compressed: see `memenc_kernels.compression.compress`."""

    rate: int
    kind: Compression = "mean"
    query: Tensor | None = None
    kernels: tuple[Tensor, Tensor] | None = None


def ring_append(
    rings: Rings,
    tokens: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    *,
    window: int,
    how: How,
    rotation: Rotation | None = None,
    implementation: Implementation = "auto",
) -> Tensor:
    """Append a segment to the window, compress what leaves it, append that to the slots; in place, without gradient.

    Source: Rae et al. 2019, Compressive Transformer (arXiv:1911.05507).

    Args:
        rings: dense; ``places >= window + rate``, a multiple of the rate.
        tokens: (batch,) int64, what each document wrote before; multiples of the rate.
        keys: (batch, heads, length, dim).
        values: like keys.
        lengths: (batch,) int64, how many of the tokens each document writes; multiples of the rate, 0 for none.
        window: tokens kept as they are, a multiple of the rate.
        how: the compression.
        rotation: taken off the keys before anything else, (length, pairs); None if they have none.
        implementation: auto, triton or torch.

    Returns:
        (batch,) int64, what each document wrote now.

    Raises:
        ValueError: shapes, types or options do not fit, or Triton was asked for and cannot run.
    """
    _check(rings, tokens, keys, values, lengths, window, how)
    if rotation is not None:
        require_rows(rotation, keys)
    query, kernels = how.query, how.kernels or (None, None)
    with torch.no_grad():
        if choose("ring_append", implementation, keys.device, width_refusal(keys, WIDEST)) == "triton":
            turned = rotation or (None, None, False)
            append(*rings, tokens, keys, values, lengths, window, how.rate, how.kind, query, *kernels, *turned)
        else:
            keys = keys if rotation is None else rotate(keys, rotation.inverse(), implementation="torch")
            options = (window, how.rate, how.kind, query, how.kernels)
            reference.ring_append(*rings, tokens, keys, values, lengths, *options)
    return tokens + lengths


def _check(rings: Rings, tokens: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, window: int, how: How) -> None:
    require_shape("keys", keys, batch=None, heads=None, tokens=None, dim=None)
    batch, heads, length, dim = keys.shape
    require_shape("values", values, batch=batch, heads=heads, tokens=length, dim=dim)
    require_alike({"keys": keys, "values": values, **rings._asdict()})
    for name, ring in rings._asdict().items():
        require_shape(name, ring, batch=batch, heads=heads, places=None, dim=dim)
        if not ring.is_contiguous():
            raise ValueError(f"{name} has strides {ring.stride()}; a buffer that is changed in place must be dense")
    require_together({"keys": keys, "tokens": tokens, "lengths": lengths, "query": how.query})
    for kernel in how.kernels or ():
        require_together({"keys": keys, "kernels": kernel})
    for name, count in {"tokens": tokens, "lengths": lengths}.items():
        require_shape(name, count, batch=batch)
    places, rate = rings.window_keys.shape[2], how.rate
    if how.kind not in get_args(Compression):
        raise ValueError(f"kind={how.kind!r}: choose one of {get_args(Compression)}")
    if rate < 1 or window % rate or length % rate or places % rate or places < window + rate:
        raise ValueError(
            f"rate={rate}, window={window}, {length} tokens, {places} places: the rate must divide all, "
            "and there must be places for the window and one rate more"
        )


__all__ = ["How", "Rings", "in_order", "ring_append"]
