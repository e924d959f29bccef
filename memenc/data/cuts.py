"""Find places where a long text can be cut without changing one token.

A cut is accepted when the text before it, read with what follows, begins with the very tokens it has alone,
and when those tokens end the same way whether the reading starts a little before the cut or at the beginning
of the chunk. The next chunk re-reads a little text before the cut and drops its tokens, so that no mark for
the start of a text lands inside it.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# Re-read on either side of a cut. WordPiece gives up on words over 100 characters; a multiple of 3 and of 256
# is in step with tokenizers that read digits in threes or runs of spaces in powers of two.
CONTEXT_CHARACTERS = 768
LONGEST_WORD = 4_096  # characters without an exact cut that are still read in one piece
ATTEMPTS = 16  # at white space, and again between any two characters

WORD_END = re.compile(r"\S(?=\s)")


class Tokens(NamedTuple):
    """Token ids and, when asked for, their (start, end) in characters."""

    ids: list[int]
    offsets: list[tuple[int, int]]

    def starts_with(self, other: "Tokens", same_offsets: bool) -> bool:
        """Whether the first ids, and offsets if asked for, are those of `other`."""
        same_ids = self.ids[: len(other.ids)] == other.ids
        return same_ids and (not same_offsets or self.offsets[: len(other.offsets)] == other.offsets)


Encode = Callable[[str], Tokens]


@dataclass(frozen=True)
class Window:
    """A stretch of the document whose first `context` characters have been handed out already.

    Args:
        text: the stretch.
        origin: character of the document at which it starts.
        context: characters at its start that are only re-read.
        known: token ids of the context.
    """

    text: str = ""
    origin: int = 0
    context: int = 0
    known: list[int] = field(default_factory=list)

    @property
    def unread(self) -> int:
        """Characters not handed out yet."""
        return len(self.text) - self.context

    def followed_by(self, text: str) -> "Window":
        """Return the window with more text behind it."""
        return replace(self, text=self.text + text)

    def starting_at(self, position: int, context: int, known: list[int]) -> "Window":
        """Return the window that starts at `position` of this one."""
        return Window(self.text[position:], self.origin + position, context, known)

    def without_context(self) -> "Window":
        """Return the unread text as though a document started there."""
        return self.starting_at(self.context, 0, [])


def tokenize_in_chunks(blocks: Iterable[str], encode: Encode, chunk_characters: int) -> Iterator[Tokens]:
    """Yield the tokens of a document chunk by chunk, as if it had been tokenized at once.

    Args:
        blocks: the document's text, cut anywhere.
        encode: tokenizes one text without special tokens; offsets count from the start of that text.
        chunk_characters: characters per chunk; what cannot be cut exactly may take up to 4,096 if that is
            more, then it is cut as though the document ended there and another began.
    """
    window = Window()
    for block in blocks:
        found, window = read_on(window.followed_by(block), encode, chunk_characters)
        yield from found
    tokens = unread_tokens(window, len(window.text), encode)
    if tokens.ids:
        yield tokens


def read_on(window: Window, encode: Encode, chunk_characters: int) -> tuple[list[Tokens], Window]:
    """Return the tokens of every chunk that has text enough behind it, and the window after them.

    Where it is cut does not depend on what lies further behind, so that a text may arrive in blocks of any size.
    """
    found, size = [], chunk_characters
    while window.unread >= size + CONTEXT_CHARACTERS:
        parts = split(window, size, encode, same_offsets=True)
        if parts is None and size < LONGEST_WORD:
            size = min(2 * size, LONGEST_WORD)
            continue
        parts = parts or split(window, size, encode, same_offsets=False)
        tokens, window = parts or split_anywhere(window, size, encode)
        size = chunk_characters
        if tokens.ids:
            found.append(tokens)
    return found, window


def split(window: Window, size: int, encode: Encode, same_offsets: bool) -> tuple[Tokens, Window] | None:
    """Return the tokens up to the last exact cut within `size` characters and the window after it, or None.

    `same_offsets` refuses cuts inside one token; without it a long unknown word may be cut and is still one
    token, though its offsets end at the cut.
    """
    for cut in candidate_cuts(window, size):
        start = max(0, cut - CONTEXT_CHARACTERS)
        before = encode(window.text[start:cut])
        around = encode(window.text[start : cut + CONTEXT_CHARACTERS])
        if not around.starts_with(before, same_offsets):
            continue
        encoded = encode(window.text[:cut])
        if end_alike(encoded.ids, before.ids):
            return own_part(window, cut, encoded, encode), window.starting_at(start, cut - start, before.ids)
    return None


def split_anywhere(window: Window, size: int, encode: Encode) -> tuple[Tokens, Window]:
    """Return the tokens of the next `size` characters and the window after them, which starts afresh."""
    end = window.context + size
    return unread_tokens(window, end, encode), window.starting_at(end, 0, [])


def candidate_cuts(window: Window, size: int) -> Iterator[int]:
    """Yield places to cut, ends of words first, the last ones first."""
    end = window.context + size
    word_ends = (match.end() for match in WORD_END.finditer(window.text, window.context, end + 1))
    yield from reversed(deque(word_ends, maxlen=ATTEMPTS))
    yield from range(end, max(window.context, end - ATTEMPTS), -1)


def end_alike(longer: list[int], shorter: list[int]) -> bool:
    """Whether both end in the same tokens, as many as half of the shorter one: its start may differ."""
    compared = (len(shorter) + 1) // 2
    return longer[len(longer) - compared :] == shorter[len(shorter) - compared :]


def unread_tokens(window: Window, end: int, encode: Encode) -> Tokens:
    """Return the tokens of the window's unread text before `end`, offsets in characters of the document."""
    return own_part(window, end, encode(window.text[:end]), encode)


def own_part(window: Window, end: int, encoded: Tokens, encode: Encode) -> Tokens:
    """Drop the context's tokens from `encoded`, the tokens of all text before `end`."""
    if not encoded.starts_with(Tokens(window.known, []), same_offsets=False):
        # More than the look-ahead was needed to see that the cut was not exact: read on as from a forced one.
        return unread_tokens(window.without_context(), end - window.context, encode)
    offsets = encoded.offsets[len(window.known) :]
    moved = [(start + window.origin, stop + window.origin) for start, stop in offsets]
    return Tokens(encoded.ids[len(window.known) :], moved)
