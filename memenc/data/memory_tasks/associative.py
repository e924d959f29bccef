"""Associative retrieval: one pair of key and value a segment, and a question for the value of one key."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import BLANK, QUESTION, SEGMENT, MemoryTask
from memenc.data.memory_tasks.draws import below, distinct
from memenc.data.memory_tasks.vocabulary import FIRST_WORD

KEYS = tuple("abcdefghijklmnop")
VALUES = tuple(map(str, range(16)))
SYMBOLS = len(KEYS)
# Symbols of values have ids of their own. With those of keys a small encoder learns within minutes to name any value it
# saw, and then hides the keys from the answer instead of binding values to them.
FIRST_VALUE = FIRST_WORD + SYMBOLS


class Associative(MemoryTask):
    """Segments ``mark key... value blank...``; the last is ``question key... blank blank...``; the label is the value.

    Symbols have no meaning beyond a document, so that there is nothing to keep apart in a split for tests.

    Source: Rodkin et al. 2024, ARMT (arXiv:2407.04841), appendix.

    Args:
        key_size: symbols of a key, each one of 16; a value is one symbol.
        room: ids of a segment are a multiple of this, blanks filling up.
    """

    splits = ("train",)
    words = (*[""] * FIRST_WORD, *KEYS, *VALUES)
    classes = VALUES

    def __init__(self, key_size: int = 1, room: int = 4) -> None:
        if key_size < 1 or room < 1:
            raise ValueError(f"key_size={key_size}, room={room}: give at least 1")
        self.key_size = key_size
        self.keys = SYMBOLS**key_size
        self.segment_length = -(-(key_size + 2) // room) * room

    def _rows(self, generator: torch.Generator, documents: int, segments: int) -> tuple[Tensor, Tensor]:
        pairs = segments - 1
        keys = self._keys(generator, documents, pairs)
        values = below(generator, SYMBOLS, documents, pairs)
        asked = keys.gather(1, below(generator, pairs, documents, 1))
        # The last segment that has the key holds; where keys are unique it is the only one.
        order = torch.arange(1, segments, device=keys.device)
        latest = ((keys == asked) * order).argmax(1, keepdim=True)
        rows = torch.full((documents, segments, self.segment_length), BLANK, device=keys.device)
        rows[:, :, 0] = SEGMENT
        rows[:, -1, 0] = QUESTION
        rows[:, :, 1 : 1 + self.key_size] = FIRST_WORD + self._symbols(torch.cat([keys, asked], dim=1))
        rows[:, :-1, 1 + self.key_size] = FIRST_VALUE + values
        return rows, values.gather(1, latest).squeeze(1)

    def _symbols(self, keys: Tensor) -> Tensor:
        """Numbers of keys as symbols, (..., key_size)."""
        places = SYMBOLS ** torch.arange(self.key_size - 1, -1, -1, device=keys.device)
        return keys[..., None] // places % SYMBOLS

    @abstractmethod
    def _keys(self, generator: torch.Generator, documents: int, pairs: int) -> Tensor:
        """Numbers of the keys, (documents, pairs)."""


@final
class Remember(Associative):
    """Every key stands once: how many pairs fit into the memory."""

    name = "remember"
    what_to_keep = "Every pair: the question asks for any of them."

    @property
    def most_segments(self) -> int:
        """One for every key, and the question."""
        return self.keys + 1

    def _keys(self, generator: torch.Generator, documents: int, pairs: int) -> Tensor:
        return distinct(generator, self.keys, documents, pairs)


@final
class Rewrite(Associative):
    """Keys come again, and the latest value holds: how long the memory can be written to."""

    name = "rewrite"
    what_to_keep = "The latest value of every key: the question asks for any of them."

    def _keys(self, generator: torch.Generator, documents: int, pairs: int) -> Tensor:
        return below(generator, self.keys, documents, pairs)
