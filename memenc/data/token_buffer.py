"""Token ids of one text, tokenised no further than they are needed."""

from __future__ import annotations

from collections.abc import Iterator


class TokenBuffer:
    """Token ids of one text, taken in pieces of any size.

    Args:
        stream: token ids of the text in lists.

    Attributes:
        taken: how many were taken so far.
    """

    def __init__(self, stream: Iterator[list[int]]) -> None:
        self._stream = stream
        self._ids: list[int] = []
        self.taken = 0

    def fill(self, tokens: int) -> int:
        """How many tokens there are, of `tokens` that are asked for."""
        while len(self._ids) < tokens:
            more = next(self._stream, None)
            if more is None:
                break
            self._ids += more
        return min(tokens, len(self._ids))

    def take(self, tokens: int) -> list[int]:
        """The next tokens, which were filled in before."""
        taken, self._ids = self._ids[:tokens], self._ids[tokens:]
        self.taken += len(taken)
        return taken
