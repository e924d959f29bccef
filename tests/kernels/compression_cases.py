"""Inputs of compression."""

import torch

from memenc_kernels import Rotation

# batch, heads, slots, rate, dim
SIZES = {
    "one of each": (1, 1, 1, 1, 4),
    "odd": (3, 2, 7, 3, 15),
    "one over": (1, 2, 17, 4, 65),
    "wide": (1, 1, 3, 5, 127),
    "no slots": (2, 1, 0, 2, 8),
}
KINDS = ("mean", "max", "convolution", "learned_query")


def random_inputs(size, kind, dtype=torch.float32, device="cpu"):
    batch, heads, slots, rate, dim = size
    shapes = {"keys": (batch, heads, slots * rate, dim), "values": (batch, heads, slots * rate, dim)}
    if kind == "learned_query":
        shapes["query"] = (heads, dim)
    if kind == "convolution":
        shapes |= {"key_kernel": (rate, dim, dim), "value_kernel": (rate, dim, dim)}
    # Scores of the size that a softmax is made for; exponentials of larger ones round by more than is asked here.
    sizes = {"query": dim**-0.5}
    return {n: (torch.randn(shape, device=device) * sizes.get(n, 1.0)).to(dtype) for n, shape in shapes.items()}


def rotated(size, interleaved, device="cpu"):
    """Tables of a rotation of some of the pairs, to take off the keys."""
    _, _, slots, rate, dim = size
    angles = torch.randn(slots * rate, dim // 3, device=device) * 3
    return Rotation(angles.cos(), angles.sin(), interleaved)


def with_kernels(function, rotation=None):
    """The function with both kernels of a convolution as arguments of their own, in the type of the inputs."""

    def call(key_kernel=None, value_kernel=None, **arguments):
        exact = torch.promote_types(arguments["keys"].dtype, torch.float32)
        turn = None if rotation is None else Rotation(*(x.to(exact) for x in rotation[:2]), rotation.interleaved)
        kernels = None if key_kernel is None else (key_kernel, value_kernel)
        return function(**arguments, kernels=kernels, rotation=turn)

    return call
