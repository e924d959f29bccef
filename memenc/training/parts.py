"""Cut a batch of documents into parts that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def parts_of(batch: dict[str, Tensor], tokens_per_part: int, tokens_per_segment: int) -> Iterator[dict[str, Tensor]]:
    """Parts of similar length, longest first, each at most `tokens_per_part` padded tokens or a single document.

    Every part carries `index`, the documents' places in the batch. One giant document is alone in its part, whatever
    its neighbours in the batch were, and no part is padded further than to its own longest document.

    Args:
        batch: input_ids and attention_mask (batch, tokens), padded on the right; anything else is cut along.
        tokens_per_part: the budget.
        tokens_per_segment: own tokens of a segment; lengths count in whole segments, as they cost.
    """
    lengths = batch["attention_mask"].sum(1)
    order = lengths.argsort(descending=True, stable=True)
    segments = (-(-lengths // tokens_per_segment)).clamp(min=1)[order].tolist()
    start = 0
    while start < len(order):
        count = max(1, tokens_per_part // (segments[start] * tokens_per_segment))
        index = order[start : start + count]
        width = max(1, int(lengths[index[0]]))
        yield {
            name: value[index, :width] if name in ("input_ids", "attention_mask") else value[index]
            for name, value in batch.items()
        } | {"index": index}
        start += count


def in_order(parts: list[Tensor], indices: list[Tensor]) -> Tensor:
    """Results of parts back in the order of the batch."""
    joined = torch.cat(parts)
    return joined[torch.cat(indices).argsort()]
