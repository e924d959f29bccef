"""Random numbers of many documents at once."""

from __future__ import annotations

import torch
from torch import Tensor


def below(generator: torch.Generator, end: int, *shape: int) -> Tensor:
    """Uniform whole numbers from 0 to `end`, excluded."""
    return torch.randint(end, shape, generator=generator, device=generator.device)


def below_each(generator: torch.Generator, ends: Tensor) -> Tensor:
    """Uniform whole numbers from 0 to each of `ends`, excluded; int64 of the same shape."""
    drawn = torch.rand(ends.shape, generator=generator, device=generator.device)
    # float32 may round a product up to its end.
    return torch.minimum((drawn * ends).long(), ends - 1)


def distinct(generator: torch.Generator, end: int, documents: int, count: int) -> Tensor:
    """Numbers from 0 to `end`, excluded, in random order and none twice in a row, (documents, count)."""
    # The order of random numbers is a random order without repetition.
    return torch.rand(documents, end, generator=generator, device=generator.device).topk(count, dim=1).indices


def ordered(generator: torch.Generator, end: int, documents: int, count: int) -> Tensor:
    """Numbers from 0 to `end`, excluded, ascending and none twice in a row, (documents, count)."""
    return distinct(generator, end, documents, count).sort(1).values


def chosen(generator: torch.Generator, allowed: Tensor) -> Tensor:
    """One of the places of every row that `allowed` (..., places) marks, uniformly; (...), 0 where there is none."""
    drawn = torch.rand(allowed.shape, generator=generator, device=generator.device)
    return torch.where(allowed, drawn, -1.0).argmax(-1)
