"""The ring append in Triton as an operator of torch that changes its buffers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.arrays import of_vectors
from memenc_kernels.library import define


def _append(
    window_keys: Tensor,
    window_values: Tensor,
    slot_keys: Tensor,
    slot_values: Tensor,
    counts: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    window: int,
    rate: int,
    kind: str,
    query: Tensor | None,
    key_kernel: Tensor | None,
    value_kernel: Tensor | None,
    cosine: Tensor | None,
    sine: Tensor | None,
    interleaved: bool,
) -> None:
    from memenc_kernels.ring_append.configurations import configuration_of
    from memenc_kernels.ring_append.triton import append_kernel

    batch, heads, places, dim = window_keys.shape
    groups = places // rate
    optional = {"query": query, "key_kernel": key_kernel, "value_kernel": value_kernel, "cosine": cosine, "sine": sine}
    launch.start(
        append_kernel, (batch * heads * groups,), keys,
        window_keys=window_keys, window_values=window_values, slot_keys=slot_keys, slot_values=slot_values,
        counts=counts.contiguous(), keys=of_vectors(keys), values=of_vectors(values), lengths=lengths.contiguous(),
        **{name: None if each is None else each.contiguous() for name, each in optional.items()},
        heads=heads, places=places, groups=groups, slots=slot_keys.shape[2], window=window, rate=rate, KIND=kind,
        ROTATED=cosine is not None, PAIRS=1 if cosine is None else cosine.shape[1], INTERLEAVED=interleaved,
        **configuration_of(dim, kind),
    )  # fmt: skip


def _nothing(*arguments: Any) -> None:
    return None


append = define(
    "ring_append",
    "(Tensor(a!) window_keys, Tensor(b!) window_values, Tensor(c!) slot_keys, Tensor(d!) slot_values, Tensor counts, "
    "Tensor keys, Tensor values, Tensor lengths, int window, int rate, str kind, Tensor? query, Tensor? key_kernel, "
    "Tensor? value_kernel, Tensor? cosine, Tensor? sine, bool interleaved) -> ()",
    _append,
    _nothing,
)
