"""Checkpoints of a training under way: a kill costs a minute of it, and what goes on is what would have been."""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor

from memenc.comparison.cells import Cell
from memenc.comparison.weights import WeightStore

# At least so many seconds of training lie between two, and fifty times what the last one took.
SECONDS, SHARE = 60.0, 50


class Checkpoints:
    """The checkpoint of one cell's training.

    Args:
        store: where it is kept; None keeps nothing.
        cell: that is trained.
    """

    def __init__(self, store: WeightStore | None, cell: Cell) -> None:
        self.store, self.cell = store, cell
        self.started, self.before = time.monotonic(), 0.0
        self.due = self.started + SECONDS

    @property
    def seconds(self) -> float:
        """What the training took so far, also before it was stopped."""
        return self.before + time.monotonic() - self.started

    def kept(self) -> dict[str, Any] | None:
        """The state of the training when it was stopped; None if it begins."""
        found = None if self.store is None else self.store.kept(self.cell)
        if found is None:
            return None
        tensors, facts = found
        return unpacked(facts["state"], tensors) | {"seconds": facts["seconds"]}

    def is_due(self) -> bool:
        """Whether there is enough to lose."""
        return self.store is not None and time.monotonic() >= self.due

    def keep(self, state: dict[str, Any]) -> None:
        """Write a state down: numbers, texts, tensors, and lists, tuples and dictionaries of such."""
        assert self.store is not None
        tensors, began = dict[str, Tensor](), time.monotonic()
        self.store.keep(self.cell, tensors, {"state": packed(state, tensors), "seconds": self.seconds})
        now = time.monotonic()
        self.due = now + max(SECONDS, SHARE * (now - began))

    def drop(self) -> None:
        """The training is over."""
        if self.store is not None:
            self.store.drop(self.cell)


def packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON can hold it, its tensors put aside by number."""
    if isinstance(value, Tensor):
        name = f"{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        # JSON would make texts of keys that are numbers.
        return {"items": [[key, packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [packed(item, tensors) for item in value]}
    return value


def unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `packed` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: unpacked(item, tensors) for key, item in content}
    items = [unpacked(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
