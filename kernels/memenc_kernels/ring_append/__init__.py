"""Window, compression and slots of streaming inference in one launch, in place."""

from __future__ import annotations

from typing import NamedTuple, get_args

import torch
from torch import Tensor

from memenc_kernels.checks import require_alike, require_shape, width_refusal
from memenc_kernels.compression import Compression
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.ring_append import reference
from memenc_kernels.ring_append.configurations import WIDEST
from memenc_kernels.ring_append.operators import append
from memenc_kernels.ring_append.reference import in_order


class Rings(NamedTuple):
    """Buffers that `ring_append` changes; token n lies at place n % places, compressed group n at slot n % slots.

    Shapes: window_keys, window_values (batch, heads, places, dim); slot_keys, slot_values (batch, heads, slots, dim).
    """

    window_keys: Tensor
    window_values: Tensor
    slot_keys: Tensor
    slot_values: Tensor


class Rotation(NamedTuple):
    """Rotation that the segment's keys come with: cosine, sine (tokens, pairs); how dimensions are paired."""

    cosine: Tensor
    sine: Tensor
    interleaved: bool = False


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
        rotation: taken off the keys before anything else; None if they have none.
        implementation: auto, triton or torch.

    Returns:
        (batch,) int64, what each document wrote now.

    Raises:
        ValueError: shapes, types or options do not fit, or Triton was asked for and cannot run.
    """
    _check(rings, tokens, keys, values, lengths, window, how)
    query, kernels = how.query, how.kernels or (None, None)
    with torch.no_grad():
        if choose("ring_append", implementation, keys.device, width_refusal(keys, WIDEST)) == "triton":
            turned = rotation or (None, None, False)
            append(*rings, tokens, keys, values, lengths, window, how.rate, how.kind, query, *kernels, *turned)
        else:
            keys = keys if rotation is None else _without_rotation(keys, rotation)
            options = (window, how.rate, how.kind, query, how.kernels)
            reference.ring_append(*rings, tokens, keys, values, lengths, *options)
    return tokens + lengths


def _without_rotation(keys: Tensor, rotation: Rotation) -> Tensor:
    pairs = rotation.cosine.shape[1]
    turned, rest = keys.split([2 * pairs, keys.shape[-1] - 2 * pairs], -1)
    exact = turned.to(rotation.cosine.dtype)
    first, second = (exact[..., 0::2], exact[..., 1::2]) if rotation.interleaved else exact.chunk(2, -1)
    cosine, sine = rotation.cosine, rotation.sine
    straight = first * cosine + second * sine, second * cosine - first * sine
    joined = torch.stack(straight, -1).flatten(-2) if rotation.interleaved else torch.cat(straight, -1)
    return torch.cat([joined.to(keys.dtype), rest], -1)


def _check(rings: Rings, tokens: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, window: int, how: How) -> None:
    require_shape("keys", keys, batch=None, heads=None, tokens=None, dim=None)
    batch, heads, length, dim = keys.shape
    require_shape("values", values, batch=batch, heads=heads, tokens=length, dim=dim)
    require_alike({"keys": keys, "values": values, **rings._asdict()})
    for name, ring in rings._asdict().items():
        require_shape(name, ring, batch=batch, heads=heads, places=None, dim=dim)
        if not ring.is_contiguous():
            raise ValueError(f"{name} has strides {ring.stride()}; a buffer that is changed in place must be dense")
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


__all__ = ["How", "Rings", "Rotation", "in_order", "ring_append"]
