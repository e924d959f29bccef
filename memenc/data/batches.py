"""Batches of documents of similar length that cost about the same."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy
from torch.utils.data import Sampler

NEIGHBOURHOOD = 1.25  # documents up to this many times longer than the shortest of them may share a batch


class TokenBudgetBatchSampler(Sampler[list[int]]):
    """Batch sampler: documents times the segments of the longest of them stay within a budget of tokens.

    Documents are put in neighbourhoods of similar length; each epoch deals every neighbourhood out anew over
    the same places of the same batches, and shuffles the batches. So the number of batches never changes, and
    every index comes once.

    Args:
        lengths: tokens of each document.
        tokens_per_batch: padded tokens of one batch; a document with more is alone in its batch.
        segment_tokens: own tokens of one segment, to whole numbers of which documents are padded.
        max_documents: documents of one batch at most, None for any number.
        shuffle: False gives the longest documents first, the same in every epoch.
        seed: of the shuffling, together with the epoch of `set_epoch`.
        drop_last: leave out the batch of shortest documents if it is not full.

    Raises:
        ValueError: a length below 0, or another number below 1.
    """

    def __init__(
        self,
        lengths: Iterable[int],
        tokens_per_batch: int,
        segment_tokens: int,
        max_documents: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        check_positive(tokens_per_batch=tokens_per_batch, segment_tokens=segment_tokens, max_documents=max_documents)
        segments = segments_of(lengths, segment_tokens)
        self.batch_size = None  # for accelerate: batches differ in size
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._order = numpy.argsort(-segments, kind="stable")
        self._neighbourhoods = neighbourhood_borders(segments[self._order])
        capacity = tokens_per_batch // segment_tokens
        self._batches = batch_borders(segments[self._order], self._neighbourhoods, capacity, max_documents, drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose shuffling the next loop follows.

        Args:
            epoch: 0 for the first.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches) - 1

    def __iter__(self) -> Iterator[list[int]]:
        generator = numpy.random.default_rng((self.seed, self.epoch))
        order = self._order.copy()
        batches = list(pairwise(self._batches))
        if self.shuffle:
            for start, end in pairwise(self._neighbourhoods):
                generator.shuffle(order[start:end])
            generator.shuffle(batches)
        for start, end in batches:
            yield order[start:end].tolist()


def check_positive(**numbers: int | None) -> None:
    """Raise ValueError for a number below 1; None is no number."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")


def segments_of(lengths: Iterable[int], segment_tokens: int) -> numpy.ndarray:
    """Return the segments of each document (documents,), at least one each."""
    tokens = numpy.asarray(list(lengths), dtype=numpy.int64)
    if (tokens < 0).any():
        place = int((tokens < 0).argmax())
        raise ValueError(f"lengths are token counts, 0 or more; document {place} has {tokens[place]}")
    return numpy.maximum(1, -(-tokens // segment_tokens))


def neighbourhood_borders(segments: numpy.ndarray) -> list[int]:
    """Return the places in the falling sequence `segments` at which a neighbourhood starts, and its end."""
    borders = [0]
    for place, count in enumerate(segments.tolist()):
        if count * NEIGHBOURHOOD < segments[borders[-1]]:
            borders.append(place)
    return [*borders, len(segments)] if len(segments) else [0]


def batch_borders(
    segments: numpy.ndarray,
    neighbourhoods: list[int],
    capacity: int,
    max_documents: int | None,
    drop_last: bool,
) -> list[int]:
    """Return the places at which a batch starts, and the end of the last one.

    Any document of a neighbourhood may come to stand at the batch's first place: each counts as its longest.
    """
    longest = numpy.repeat(segments[neighbourhoods[:-1]], numpy.diff(neighbourhoods))
    borders = [0]
    while borders[-1] < len(segments):
        documents = max(1, capacity // int(longest[borders[-1]]))
        documents = documents if max_documents is None else min(documents, max_documents)
        if drop_last and borders[-1] + documents > len(segments):
            break
        borders.append(min(borders[-1] + documents, len(segments)))
    return borders


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
