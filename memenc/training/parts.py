"""Cut documents into parts that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def parts_of(
    lengths: Sequence[int], tokens_per_part: int, tokens_per_segment: int, documents_per_part: int = 256
) -> Iterator[list[int]]:
    """Places of documents of similar length, longest first, each part at most `tokens_per_part` padded tokens.

    One giant document is alone in its part, whatever its neighbours were, and nothing is padded to its length.

    Args:
        lengths: own tokens of every document.
        tokens_per_part: the budget; a single document may exceed it.
        tokens_per_segment: own tokens of a segment; lengths count in whole segments, as they cost.
        documents_per_part: at most so many, however short they are.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        segments = max(1, -(-lengths[order[start]] // tokens_per_segment))
        count = max(1, min(documents_per_part, tokens_per_part // (segments * tokens_per_segment)))
        yield order[start : start + count]
        start += count
