"""Random documents, ragged in every way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

VOCABULARY = 60
# Ids below are special in one configuration or another; documents do without them.
FIRST_ID = 5
SEGMENT = 16
# No backbone pads with 3 or 4; one that counts positions from its padding token would count them wrong.
SPECIAL = {"prefix": [3], "suffix": [4], "padding": 0}
CAPACITY = SEGMENT - 2


def tokens(*shape: int) -> Tensor:
    """Random ids of ordinary tokens."""
    return torch.randint(FIRST_ID, VOCABULARY, shape)


def documents_of(*lengths: int) -> list[Tensor]:
    """One random document of each length (tokens)."""
    return [tokens(length) for length in lengths]


def ragged(documents: Sequence[Tensor], width: int | None = None, pad: str = "right") -> tuple[Tensor, Tensor]:
    """Ids and mask (batch, width) of a list of id tensors; masked places hold ids of real tokens.

    Args:
        documents: each (tokens,).
        width: at least so many places.
        pad: where padding stands: right, left or interior.
    """
    width = max([len(document) for document in documents] + [width or 0])
    ids, mask = tokens(len(documents), width), torch.zeros(len(documents), width, dtype=torch.long)
    for row, document in enumerate(documents):
        count = len(document)
        places = {
            "right": torch.arange(count),
            "left": torch.arange(width - count, width),
            "interior": torch.randperm(width)[:count].sort().values,
        }[pad]
        ids[row, places], mask[row, places] = document, 1
    return ids, mask


def cut_at_random(document: Tensor, pieces: int) -> list[Tensor]:
    """The document in `pieces` pieces, some of them empty and some of one token."""
    cuts = sorted(torch.randint(len(document) + 1, (pieces - 1,)).tolist())
    if len(cuts) > 3:
        cuts[1] = cuts[0]
        cuts[3] = min(cuts[2] + 1, len(document))
    cuts = [0, *sorted(cuts), len(document)]
    return [document[start:end] for start, end in pairwise(cuts)]
