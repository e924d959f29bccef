"""Documents that do not fit into memory, in an order that a resumed training finds again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any, final

from torch.utils.data import IterableDataset, get_worker_info


@final
class EndlessDocuments(IterableDataset):
    """Reads a source again and again, each time in another order, that its seed and the number of the pass decide.

    transformers' Trainer finds its place in a stream by reading over what was trained on, but forgets how many times
    the stream had ended: resumed after the first pass, it trains in another order than the run that was stopped, or not
    at all. This stream never ends, so there is one place to find: give `TrainingArguments` `max_steps`. What is read
    over is read again, but only from the source: turn text into tokens in the collator.

    Args:
        source: opened once per pass; gives documents as the collator takes them, in the same order each time.
        seed: of the order.
        buffer: documents held at a time to draw from; 1 keeps the order of the source.

    Raises:
        ValueError: a buffer below 1; when read, a source without documents.
    """

    def __init__(self, source: Callable[[], Iterable[Any]], seed: int = 0, buffer: int = 1_024) -> None:
        if buffer < 1:
            raise ValueError(f"buffer={buffer}: give at least 1")
        self.source, self.seed, self.buffer = source, seed, buffer

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return islice(self._documents(), first, None, step)

    def _documents(self) -> Iterator[Any]:
        for number in count():
            found = False
            for document in self._shuffled(random.Random(f"{self.seed} {number}")):
                found = True
                yield document
            if not found:
                raise ValueError("the source of the training documents gave none")

    def _shuffled(self, generator: random.Random) -> Iterator[Any]:
        """One pass: whatever comes takes the place of a random one that waits."""
        waiting: list[Any] = []
        for document in self.source():
            if len(waiting) < self.buffer:
                waiting.append(document)
                continue
            place = generator.randrange(self.buffer)
            yield waiting[place]
            waiting[place] = document
        generator.shuffle(waiting)
        yield from waiting
