"""Compression of neighbouring keys and values into one slot."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from memenc_kernels.checks import require_alike, require_shape, require_together, width_refusal
from memenc_kernels.compression import reference
from memenc_kernels.compression.configurations import WIDEST
from memenc_kernels.compression.operators import forward
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.rotation import Rotation, require_rows, rotate

Compression = Literal["mean", "max", "convolution", "learned_query"]
# As the operator takes it.
NO_ROTATION = (None, None, False)


def compress(
    keys: Tensor,
    values: Tensor,
    *,
    rate: int,
    kind: Compression = "mean",
    query: Tensor | None = None,
    kernels: tuple[Tensor, Tensor] | None = None,
    rotation: Rotation | None = None,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """Every `rate` neighbouring keys and values as one: their mean, maximum, convolution or softmax mean.

    Source: Rae et al. 2019, Compressive Transformer (arXiv:1911.05507), section 3.2.

    Args:
        keys: (batch, heads, slots * rate, dim).
        values: like keys.
        rate: tokens per slot.
        kind: mean; max, per number; convolution, the mean plus a product with `kernels`; learned_query, weights
            ``softmax(keys query)`` for keys and values.
        query: (heads, dim), for learned_query.
        kernels: of keys and of values, each (rate, dim, dim), for convolution; the products are torch's.
        rotation: taken off the keys where they are read, (slots * rate, pairs); None if they have none.
        implementation: auto, triton or torch.

    Returns:
        Keys and values, each (batch, heads, slots, dim).

    Raises:
        ValueError: shapes, types or options do not fit, or Triton was asked for and cannot run.
    """
    _check(keys, values, rate, kind, query, kernels)
    if rotation is not None:
        require_rows(rotation, keys)
    chosen = choose("compression", implementation, keys.device, _refusal(keys, rotation))
    if rotation is not None and (chosen == "torch" or kernels is not None):
        # The product with kernels is torch's, which reads keys without a rotation.
        keys, rotation = rotate(keys, rotation.inverse(), implementation=chosen), None
    named = "mean" if kind == "convolution" else kind
    if chosen == "triton":
        short_keys, short_values = forward(keys, values, rate, named, query, *(rotation or NO_ROTATION))
    else:
        short_keys, short_values = reference.compress(keys, values, rate, named, query)
    if kernels is None:
        return short_keys, short_values
    # The kernel is the departure from the mean, so that zeros are a safe start and weight decay pulls towards it.
    return (
        short_keys + reference.departure(keys, kernels[0], rate),
        short_values + reference.departure(values, kernels[1], rate),
    )


def _refusal(keys: Tensor, rotation: Rotation | None) -> str | None:
    if rotation is not None and rotation.cosine.dtype != torch.float32:
        return f"the tables of the rotation are {rotation.cosine.dtype}, the kernel takes torch.float32"
    return width_refusal(keys, WIDEST)


def _check(
    keys: Tensor,
    values: Tensor,
    rate: int,
    kind: str,
    query: Tensor | None,
    kernels: tuple[Tensor, Tensor] | None,
) -> None:
    if kind not in get_args(Compression):
        raise ValueError(f"kind={kind!r}: choose one of {get_args(Compression)}")
    if (kind == "learned_query") != (query is not None) or (kind == "convolution") != (kernels is not None):
        raise ValueError(f"kind={kind!r}: give a query for learned_query only, kernels for convolution only")
    require_shape("keys", keys, batch=None, heads=None, tokens=None, dim=None)
    batch, heads, tokens, dim = keys.shape
    if rate < 1 or tokens % rate:
        raise ValueError(f"rate={rate} does not divide the {tokens} tokens of keys; give whole slots")
    require_shape("values", values, batch=batch, heads=heads, tokens=tokens, dim=dim)
    require_alike({"keys": keys, "values": values})
    require_together({"keys": keys, "query": query})
    if query is not None:
        require_shape("query", query, heads=heads, dim=dim)
    for kernel in kernels or ():
        require_shape("kernels", kernel, rate=rate, dim=dim, out=dim)
        require_together({"keys": keys, "kernels": kernel})


__all__ = ["Compression", "compress"]
