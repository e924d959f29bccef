"""From characters of a document to its tokens and back, exactly, whatever the tokenizer."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from memenc.data.tokens import stream_tokens_with_offsets

# Vowels and final consonants of Korean syllables that are written letter by letter.
HANGUL_REST = frozenset(map(chr, range(0x1160, 0x1200)))


@dataclass(frozen=True)
class PlacedTokens:
    """Tokens of a document with the characters they stand for.

    Args:
        text: the document.
        ids: (tokens,) int32.
        starts: (tokens,) first character of every token; never falls.
        ends: (tokens,) the character behind its last; never falls.
    """

    text: str
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, text: str, tokenizer: PreTrainedTokenizerBase) -> PlacedTokens:
        """Tokenise a text of any length in a stream.

        Raises:
            ValueError: a tokenizer that knows no offsets.
        """
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for chunk, places in stream_tokens_with_offsets(text, tokenizer):
            ids += chunk
            offsets += places
        table = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
        # Tokens that stand for no character, such as a space put before the text, have places of their own making.
        starts, ends = (np.maximum.accumulate(table[:, column]) for column in (0, 1))
        return cls(text, np.asarray(ids, dtype=np.int32), starts, ends)

    @cached_property
    def words(self) -> np.ndarray:
        """Whether each token holds more than white space, (tokens,) bool: an answer starts at one that does."""
        places = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return np.fromiter((bool(self.text[start:end].strip()) for start, end in places), bool, len(self.ids))

    def tokens(self, start: int, end: int) -> tuple[int, int] | None:
        """First and last token that hold any of the characters [start, end), None if no token does."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left")) - 1
        return (first, last) if first <= last else None

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """The characters [start, end) of tokens from the first to the last, without white space at either end.

        Marks behind the last token that no token holds, as where a tokenizer strips accents, belong to its character.
        """
        start, end = int(self.starts[first]), int(self.ends[last])
        inner = self.text[start:end]
        start += len(inner) - len(inner.lstrip())
        if not inner or inner[-1].isspace():
            return start, max(start, start + len(inner.strip()))
        behind = int(self.starts[last + 1]) if last + 1 < len(self.starts) else len(self.text)
        while end < behind and goes_on(self.text[end]):
            end += 1
        return start, end

    def sharing(self, first: int, last: int) -> tuple[int, int]:
        """First and last token that hold any of the characters of tokens from the first to the last."""
        return self.tokens(*self.characters(first, last)) or (first, last)


def goes_on(character: str) -> bool:
    """Whether a character belongs to the one before it: an accent, a vowel sign, the rest of a Korean syllable."""
    return unicodedata.category(character).startswith("M") or character in HANGUL_REST
