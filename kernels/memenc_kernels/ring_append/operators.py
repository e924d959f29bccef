"""The ring append in Triton as an operator of torch that changes its buffers."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd.graph import increment_version

from memenc_kernels import launch
from memenc_kernels.arrays import of_vectors
from memenc_kernels.library import define
from memenc_kernels.rotation.table import Rotation


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
    from memenc_kernels.rotation.pairs import turn_of

    batch, heads, places, dim = window_keys.shape
    groups = places // rate
    optional = {"query": query, "key_kernel": key_kernel, "value_kernel": value_kernel}
    rotation = None if cosine is None or sine is None else Rotation(cosine, sine, interleaved)
    launch.start(
        append_kernel, (batch * heads * groups,), keys,
        window_keys=window_keys, window_values=window_values, slot_keys=slot_keys, slot_values=slot_values,
        counts=counts.contiguous(), keys=of_vectors(keys), values=of_vectors(values), lengths=lengths.contiguous(),
        **{name: None if each is None else each.contiguous() for name, each in optional.items()},
        heads=heads, places=places, groups=groups, slots=slot_keys.shape[2], window=window, rate=rate, KIND=kind,
        turn=turn_of(rotation), **configuration_of(dim, kind),
    )  # fmt: skip
    # Autograd refuses what was kept for a gradient and changed since, but does not see what kernels write.
    increment_version((window_keys, window_values, slot_keys, slot_values))


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
