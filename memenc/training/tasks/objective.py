"""What a trainer needs to know of what is learned: how items become arguments of a model, losses and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor
from transformers.utils.generic import ModelOutput

Item = dict[str, Any]
# Places of items that are read side by side, and these items as arguments of the model.
Parts = Iterable[tuple[list[int], dict[str, Tensor]]]
Run = Callable[[dict[str, Tensor]], ModelOutput]


class Objective(ABC):
    """What is learned of items, and how good that is."""

    # Score by which the best epoch is chosen.
    main_score: str
    higher_is_better: bool = True
    # Whether a document is the same tokens in every epoch: then what never changes need not be computed again.
    same_every_epoch: ClassVar[bool] = True

    @abstractmethod
    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Items as arguments of the model."""

    def losses(self, parts: Parts, run: Run, count: int) -> Iterator[Tensor]:
        """Losses of an optimiser step, whose sum is learned; each goes backward before the next is asked for.

        Args:
            parts: of the step, longest first.
            run: the model on one part.
            count: items of the step.
        """
        for indices, part in parts:
            yield cast(Tensor, run(part)["loss"]) * len(indices) / count

    @abstractmethod
    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[Any]:
        """What the model says, one value per item, small enough to be held for all of them."""

    @abstractmethod
    def truth(self, item: Item) -> Any:
        """What is right, as `scores` wants it."""

    @abstractmethod
    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How good predictions are."""

    def cut(self, item: Item, start: int, end: int) -> Item:
        """The item with a stretch of its document's tokens only.

        Raises:
            ValueError: the task cannot do with a part of a document.
        """
        return item | {"input_ids": item["input_ids"][start:end]}
