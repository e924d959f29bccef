"""Inputs of the rotation."""

import torch

from memenc_kernels import Rotation, rotate

# tokens (..., tokens, dim), positions as the tables have them, pairs
SIZES = {
    "one of each": ((1, 2), (1,), 1),
    "keys of segments": ((2, 3, 2, 7, 15), (7,), 3),
    "a shift for every segment": ((2, 3, 2, 9, 16), (3, 1, 1), 8),
    "places of every segment": ((2, 5, 1, 65, 24), (5, 1, 65), 12),
    "a shift for every row": ((6, 2, 130, 127), (6, 1, 1), 32),
    "no tokens": ((2, 1, 0, 8), (0,), 2),
    "no pairs": ((2, 5, 8), (5,), 0),
}


def random_rotation(size, interleaved, device="cpu"):
    _, places, pairs = size
    positions = torch.randint(-9_000, 9_000, places, device=device)
    return Rotation.by(positions, torch.rand(pairs, device=device), interleaved, torch.float32)


def rotating(rotation):
    """The rotation of tokens by tables in a type that fits theirs."""

    def call(tokens, implementation):
        exact = torch.promote_types(tokens.dtype, torch.float32)
        turn = Rotation(*(x.to(exact) for x in rotation[:2]), rotation.interleaved)
        return rotate(tokens, turn, implementation=implementation)

    return call


def random_tokens(size, dtype=torch.float32, device="cpu"):
    return {"tokens": torch.randn(size[0], device=device).to(dtype)}
