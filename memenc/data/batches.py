"""Parts of a batch that cost about the same: which documents are read side by side."""

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

    Raises:
        ValueError: a length below 0, or another number below 1.
    """
    limits = {"tokens_per_part": tokens_per_part, "documents_per_part": documents_per_part}
    for name, number in (limits | {"tokens_per_segment": tokens_per_segment}).items():
        if number < 1:
            raise ValueError(f"{name}={number}: give at least 1")
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    if order and lengths[order[-1]] < 0:
        raise ValueError(f"lengths are token counts, 0 or more; document {order[-1]} has {lengths[order[-1]]}")
    return _parts(order, lengths, tokens_per_part // tokens_per_segment, tokens_per_segment, documents_per_part)


def _parts(
    order: list[int], lengths: Sequence[int], segments_per_part: int, tokens_per_segment: int, most: int
) -> Iterator[list[int]]:
    start = 0
    while start < len(order):
        segments = max(1, -(-lengths[order[start]] // tokens_per_segment))
        count = max(1, min(most, segments_per_part // segments))
        yield order[start : start + count]
        start += count
