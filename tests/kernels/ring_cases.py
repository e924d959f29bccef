"""Ring buffers of streaming inference, and segments to append."""

import torch

from memenc_kernels import Rotation
from memenc_kernels.ring_append import How, Rings
from tests.kernels.compare import error, larger

# batch, heads, window, places, slots, rate, segment, dim
SIZES = {
    "one of each": (1, 1, 0, 1, 1, 1, 1, 4),
    "odd": (3, 2, 6, 12, 3, 3, 9, 15),
    "segment longer than window and slots": (2, 1, 2, 6, 2, 2, 14, 16),
    "window longer than segment": (2, 1, 63, 66, 5, 3, 6, 8),
    "no documents": (0, 1, 4, 6, 2, 2, 4, 8),
}
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
KINDS = ("mean", "max", "convolution", "learned_query")


def empty_rings(size, dtype=torch.float32, device="cpu"):
    batch, heads, _, places, slots, _, _, dim = size
    shapes = [(batch, heads, count, dim) for count in (places, places, slots, slots)]
    return Rings(*(torch.zeros(shape, dtype=dtype, device=device) for shape in shapes))


def random_how(size, kind, dtype=torch.float32, device="cpu"):
    heads, rate, dim = size[1], size[5], size[7]
    query = (torch.randn(heads, dim, device=device) * dim**-0.5).to(dtype) if kind == "learned_query" else None
    kernels = tuple(torch.randn(rate, dim, dim, device=device).to(dtype) for _ in range(2))
    return How(rate, kind, query, kernels if kind == "convolution" else None)


def random_segment(size, dtype=torch.float32, device="cpu"):
    """Keys, values, and how many tokens each document writes."""
    batch, heads, _, _, _, rate, segment, dim = size
    keys, values = (torch.randn(batch, heads, segment, dim, device=device).to(dtype) for _ in range(2))
    return keys, values, rate * torch.randint(segment // rate + 1, (batch,), device=device)


def random_rotation(size, interleaved, device="cpu"):
    pairs = size[7] // 4
    angles = torch.randn(size[6], pairs, device=device) * 3
    return Rotation(angles.cos(), angles.sin(), interleaved)


def differences(size, kind, append, rotation=None, dtype=torch.float32, device="cpu", guard=lambda x: x):
    """Append a few segments in Triton, and in torch in float64: errors by name that are larger than TOLERANCE."""
    how = random_how(size, kind, dtype, device)
    exact = how._replace(
        query=None if how.query is None else how.query.double(),
        kernels=None if how.kernels is None else tuple(kernel.double() for kernel in how.kernels),
    )
    turned = (
        None if rotation is None else Rotation(rotation.cosine.double(), rotation.sine.double(), rotation.interleaved)
    )
    rings, wanted = Rings(*map(guard, empty_rings(size, dtype, device))), empty_rings(size, torch.float64, device)
    count = after = torch.zeros(size[0], dtype=torch.long, device=device)
    for _ in range(4):
        keys, values, lengths = random_segment(size, dtype, device)
        given = guard(keys), guard(values), lengths
        after = append(rings, after, *given, window=size[2], how=how, rotation=rotation, implementation="triton")
        options = {"window": size[2], "how": exact, "rotation": turned, "implementation": "torch"}
        count = append(wanted, count, keys.double(), values.double(), lengths, **options)
    errors = {name: error(getattr(rings, name), getattr(wanted, name)) for name in Rings._fields}
    return larger(errors | {"count": error(after, count)}, dict.fromkeys([*errors, "count"], TOLERANCES[dtype]))
