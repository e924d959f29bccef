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
# Mean of a number over all processes that train together, each of which asks for it.
Mean = Callable[[float], float]


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

    def weight(self, item: Item) -> int:
        """How many of those an item has of which a loss is the mean: one document, or so many questions or words."""
        return 1

    def losses(self, parts: Parts, run: Run, items: Sequence[Item], mean: Mean) -> Iterator[Tensor]:
        """Losses of an optimiser step, whose sum is learned; each goes backward before the next is asked for.

        The sum is the loss of the whole step, however it is cut into parts and shared by processes, of whose gradients
        the mean is taken.

        Args:
            parts: of the step, longest first.
            run: the model on one part.
            items: of the step.
            mean: over processes.
        """
        weights = [self.weight(item) for item in items]
        whole, documents = mean(sum(weights)), mean(len(items))
        for indices, part in parts:
            weight = sum(weights[index] for index in indices)
            yield part_of_loss(run(part), weight / (whole or 1), len(indices) / documents)

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


def part_of_loss(output: ModelOutput, share: float, share_of_documents: float) -> Tensor:
    """A part's share in the loss of a step: of what designs learn beside the task it is its share of the documents."""
    loss, own = cast(Tensor, output["loss"]), output.get("auxiliary_loss")
    return loss * share if own is None else (loss - own) * share + own * share_of_documents
