"""Inputs of document pooling: documents of which all, some or no tokens count, read before or not."""

import torch

from memenc_kernels import document_pooling

# batch, tokens, hidden, queries, scales
SIZES = {
    "one of each": (1, 1, 4, 1, 1),
    "odd": (3, 15, 7, 2, 3),
    "as used": (2, 65, 96, 4, 8),
    "one over": (1, 257, 65, 3, 1),
    "several splits": (1, 1025, 17, 2, 2),
    "no documents": (0, 5, 8, 2, 2),
}
SCALES = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)


def random_inputs(size, dtype=torch.float32, device="cpu"):
    batch, tokens, hidden, queries, scales = size
    valid = torch.rand(batch, tokens, device=device) < torch.rand(batch, 1, device=device)
    read_before = torch.rand(batch, 1, device=device) < 0.5
    return {
        "states": torch.randn(batch, tokens, hidden, device=device).to(dtype),
        "valid": valid & (torch.arange(batch, device=device) != 1)[:, None],
        "query": (torch.randn(queries, hidden, device=device) * hidden**-0.5).to(dtype),
        "before": torch.randn(batch, queries, device=device).masked_fill(~read_before, -torch.inf),
        "scales": torch.tensor(SCALES[:scales] if scales > 1 else [1.0], device=device),
    }


def pool(before, scales, **arguments):
    """Document pooling; neither of the two has a gradient."""
    return document_pooling(before=before.detach(), scales=scales.detach(), **arguments)
