"""Inputs of the gated update: fresh documents among others, slots shorter and longer than allowed."""

import torch

# batch, heads, slots, dim
SIZES = {
    "one of each": (1, 1, 1, 1),
    "odd": (3, 2, 7, 15),
    "one over": (2, 1, 17, 65),
    "wide": (1, 1, 63, 127),
    "no documents": (0, 2, 3, 8),
}


def random_inputs(size, gate, dtype=torch.float32, device="cpu"):
    batch, heads, slots, dim = size
    shape = (batch, 2, heads, slots, dim)
    inputs = {
        "slots": torch.randn(shape, device=device).to(dtype),
        "content": torch.randn(shape, device=device).to(dtype),
        "keep": torch.randn(shape[gate == "ema" :], device=device).to(dtype),
        "fresh": torch.rand(batch, device=device) < 0.3,
        "longest": (dim**0.5 * (0.5 + torch.rand(shape[:3], device=device))).to(dtype),
    }
    return inputs | ({"take": torch.randn(shape, device=device).to(dtype)} if gate == "lstm" else {})
