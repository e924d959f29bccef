"""Starts the Triton kernel of the rotation."""

from __future__ import annotations

from torch import Tensor

from memenc_kernels import launch
from memenc_kernels.arrays import of_vectors
from memenc_kernels.rotation import triton as kernels
from memenc_kernels.rotation.configurations import MOST_AXES, configuration_of


def rotate(tokens: Tensor, cosine: Tensor, sine: Tensor, interleaved: bool, back: bool) -> Tensor:
    """Rotated tokens; `back` takes the rotation off."""
    turned = launch.empty(tokens.shape, tokens)
    length, dim = tokens.shape[-2:]
    seen = tokens[(None,) * (MOST_AXES - tokens.dim())]
    cosine, sine = (each.expand(*seen.shape[:-1], each.shape[-1]) for each in (cosine, sine))
    chosen = configuration_of(dim)
    blocks = -(-length // chosen["BLOCK_TOKENS"])
    launch.start(
        kernels.rotate_kernel, (seen.shape[:-2].numel() * blocks,), tokens,
        tokens=of_vectors(seen), cosine=of_vectors(cosine), sine=of_vectors(sine), turned=turned,
        second_size=seen.shape[1], third_size=seen.shape[2], length=length, blocks=blocks,
        PAIRS=cosine.shape[-1], INTERLEAVED=interleaved, BACK=back, **chosen,
    )  # fmt: skip
    return turned
