"""Pair classification: a class of two documents, such as whether one entails the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, cast, final

import numpy as np
from torch import Tensor
from transformers.utils.generic import ModelOutput

from memenc.data.labels import CLASS_TYPES, SINGLE, Labels, plain
from memenc.data.records import Record, Understanding
from memenc.training.metrics import MAIN_SCORE, scores
from memenc.training.tasks.base import TaskOptions
from memenc.training.tasks.objective import Item
from memenc.training.tasks.pairs import LABEL, Pairs, PairTask
from memenc.training.tasks.sequence_classification import label_and_probabilities, named_labels


class ClassifiedPairs(Pairs):
    """Documents with another one, and the class of the two under "label"."""

    def check(self, record: Record) -> None:
        """Refuse another that is no text, and a class that is none."""
        super().check(record)
        class_of(record)


@final
class PairClassification(PairTask):
    """One class of every pair of documents.

    Source: Reimers and Gurevych 2019, Sentence-BERT (arXiv:1908.10084).

    Args:
        labels: what the outputs of the head mean.
    """

    name = "pair-classification"
    main_score = MAIN_SCORE[SINGLE]

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The task that the classes of training records describe.

        Raises:
            ValueError: fewer than two classes, or labels that are quantities.
        """
        if options.problem_type not in (None, SINGLE):
            raise ValueError(
                f"--problem-type {options.problem_type}: pair-classification learns one class of every pair; leave it "
                "out, or learn similarities by --task embedding"
            )
        places = [f"line {record.line}" for record in records]
        labels = Labels.infer([class_of(record) for record in records], options.problem_type, places)
        if labels.problem_type != SINGLE:
            raise ValueError(
                f"{LABEL!r} has quantities, {records[0].rest[LABEL]!r} first: learn similarities by --task embedding, "
                f"or say --problem-type {SINGLE} if they are classes"
            )
        return cls(labels)

    @classmethod
    def used(cls, options: TaskOptions) -> tuple[str, ...]:
        """What the labels are."""
        return ("problem_type",)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Self:
        """The task from what a folder remembers."""
        classes = tuple(kept["classes"])
        return cls(Labels(SINGLE, tuple(map(str, classes)), classes))

    def kept(self) -> dict[str, Any]:
        """The classes."""
        return {"classes": list(self.labels.classes)}

    def model_options(self) -> dict[str, Any]:
        """What is learned of pairs, and names of the classes."""
        return {"pair_loss": "classification", **named_labels(self.labels.names)}

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Two documents, to train with their class."""
        return ClassifiedPairs if labelled else Pairs

    def check_labels(self, record: Record) -> None:
        """Refuse classes that were not trained."""
        self.labels.encode(class_of(record))

    def strata(self, records: Sequence[Record]) -> Sequence[Any] | None:
        """The classes."""
        return [self.labels.encode(class_of(record)) for record in records]

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[np.ndarray]:
        """Logits (classes,) of every pair."""
        return list(cast(Tensor, output["logits"]).float().cpu().numpy())

    def truth(self, item: Item) -> int:
        """The number of the class."""
        return item["labels"]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy and macro F1."""
        return {"pairs": len(truths), **scores(SINGLE, np.stack(predictions), np.asarray(truths))}

    def answers(self, item: Item, prediction: np.ndarray) -> Iterator[dict[str, Any]]:
        """Class and probabilities of a pair."""
        yield {"id": item["id"], "line": item["line"], **label_and_probabilities(self.labels, prediction)}

    def _wanted(self, record: Record, source: str) -> Item:
        return {"labels": self.labels.encode(class_of(record), f"{source}, line {record.line}")}


def class_of(record: Record) -> Any:
    """The class of a pair.

    Raises:
        ValueError: nobody said, or it is no class.
    """
    value = plain(record.rest.get(LABEL))
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"a pair without {LABEL!r}, its class")
    if not isinstance(value, CLASS_TYPES) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(
            f"{LABEL!r} must be the class of the pair: text, a whole number, yes or no; found {str(value)[:40]!r}"
        )
    return value
