"""Starts the Triton kernels of compression, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.arrays import of_vectors
from memenc_kernels.compression import triton as kernels
from memenc_kernels.compression.configurations import configuration_of
from memenc_kernels.rotation.launcher import rotate
from memenc_kernels.rotation.pairs import turn_of
from memenc_kernels.rotation.table import Rotation


def forward(keys: Tensor, values: Tensor, rate: int, *others: Any) -> tuple[Tensor, Tensor]:
    """Compressed keys and values."""
    batch, heads, tokens, dim = keys.shape
    shape = (batch, heads, tokens // rate, dim)
    short = {"short_keys": launch.empty(shape, keys), "short_values": launch.empty(shape, values)}
    shared = _shared(keys, values, rate, *others)
    launch.start(kernels.compress_kernel, (batch * heads * shared["slot_blocks"],), keys, **short, **shared)
    return short["short_keys"], short["short_values"]


def backward(gradients: tuple[Tensor, Tensor], *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of keys, values and the query (empty if there is none); arguments as in the forward pass."""
    keys, values, _, _, query, cosine, sine, interleaved = arguments
    batch, heads, _, dim = keys.shape
    shared = _shared(*arguments)
    found = {"key_gradient": launch.empty(keys.shape, keys), "value_gradient": launch.empty(values.shape, values)}
    shape = (0,) if query is None else (batch, heads, shared["slot_blocks"], dim)
    asked = launch.empty(shape, keys, torch.float32)
    launch.start(
        kernels.compress_backward_kernel, (batch * heads * shared["slot_blocks"],), keys,
        short_key_gradient=gradients[0].contiguous(), short_value_gradient=gradients[1].contiguous(),
        asked_gradient=asked, **found, **shared,
    )  # fmt: skip
    to_query = asked if query is None else asked.sum((0, 2)).to(query.dtype)
    to_keys = found["key_gradient"]
    if cosine is not None:
        to_keys = rotate(to_keys, cosine, sine, interleaved, back=False)
    return to_keys, found["value_gradient"], to_query


def _shared(
    keys: Tensor,
    values: Tensor,
    rate: int,
    kind: str,
    query: Tensor | None,
    cosine: Tensor | None,
    sine: Tensor | None,
    interleaved: bool,
) -> dict[str, Any]:
    """Arguments that both kernels have in common."""
    slots = keys.shape[2] // rate
    chosen = configuration_of(keys.shape[3], cosine is not None)
    return {
        "keys": of_vectors(keys),
        "values": of_vectors(values),
        "query": None if query is None else query.contiguous(),
        "heads": keys.shape[1],
        "slots": slots,
        "rate": rate,
        "slot_blocks": -(-slots // chosen["BLOCK_SLOTS"]),
        "KIND": kind,
        "turn": None if cosine is None or sine is None else turn_of(Rotation(cosine, sine, interleaved)),
        **chosen,
    }
