"""Classification, several labels or a quantity: one label column per document."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self, cast, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.data.labels import MULTI, REGRESSION, SINGLE, LabelledDocuments, Labels
from memenc.data.records import Record, Understanding
from memenc.data.tokens import tokenize_document
from memenc.tasks import MemencForSequenceClassification
from memenc.training.metrics import MAIN_SCORE, scores
from memenc.training.tasks.base import Task, TaskOptions, documents_collator
from memenc.training.tasks.objective import Item, Mean, Parts, Run


@final
class SequenceClassification(Task):
    """Labels of whole documents.

    Args:
        labels: what the outputs of the head mean.
    """

    name = "sequence-classification"
    head = MemencForSequenceClassification
    class_weights: np.ndarray | None = None

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.main_score = MAIN_SCORE[labels.problem_type]
        self.higher_is_better = labels.problem_type != REGRESSION

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The task that the labels of training records describe."""
        places = [f"line {record.line}" for record in records]
        return cls(Labels.infer([record.label for record in records], options.problem_type, places))

    @classmethod
    def used(cls, options: TaskOptions) -> tuple[str, ...]:
        """What the labels are."""
        return ("problem_type",)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Self:
        """The task from what a folder remembers."""
        classes = tuple(kept["classes"])
        return cls(Labels(kept.get("problem_type", SINGLE), tuple(map(str, classes)), classes))

    def kept(self) -> dict[str, Any]:
        """Classes and kind of problem."""
        return {"classes": list(self.labels.classes), "problem_type": self.labels.problem_type}

    def described(self) -> dict[str, Any]:
        """Names of the classes."""
        return {"classes": self.labels.names}

    def model_options(self) -> dict[str, Any]:
        """Kind of problem and names of the labels."""
        return {"problem_type": self.labels.problem_type, **named_labels(self.labels.names or ("value",))}

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Documents, to train with labels."""
        return partial(LabelledDocuments, options.problem_type) if labelled else Understanding

    def check_labels(self, record: Record) -> None:
        """Refuse labels that were not trained, and what is no quantity."""
        LabelledDocuments().check(record)
        self.labels.encode(record.label)

    def strata(self, records: Sequence[Record]) -> Sequence[Any] | None:
        """The labels, where every document has one."""
        encoded = [self.labels.encode(record.label) for record in records]
        return encoded if self.labels.problem_type == SINGLE else None

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """One item per document."""
        label = self.labels.encode(record.label, f"{source}, line {record.line}") if labelled else None
        item: Item = {"id": record.id, "line": record.line}
        item |= {} if label is None else {"labels": label}
        return [item | {"input_ids": tokenize_document(record.text, tokenizer)}]

    def weighed(self, class_weights: np.ndarray) -> Self:
        """The same task, each document with the weight of its class (classes,) in the loss."""
        other = copy.copy(self)
        other.class_weights = class_weights
        return other

    def losses(self, parts: Parts, run: Run, items: Sequence[Item], mean: Mean) -> Iterator[Tensor]:
        """Losses of the parts of a step, documents by the weight of their class."""
        return super().losses(parts, run if self.class_weights is None else self._weighing(run), items, mean)

    def _weighing(self, run: Run) -> Run:
        weights = torch.from_numpy(cast(np.ndarray, self.class_weights))

        def weighed(part: dict[str, Tensor]) -> ModelOutput:
            output = run(part)
            logits, labels = cast(Tensor, output["logits"]), part["labels"].long()
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            each = functional.cross_entropy(logits, labels, reduction="none") * weights.to(logits)[labels]
            own = output.get("auxiliary_loss")
            # Not divided by the sum of the weights, with which a rare class alone in a part would count like any other.
            output["loss"] = each.mean() if own is None else each.mean() + own
            return output

        return weighed

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Documents and their labels."""
        return documents_collator(model)(items)

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[np.ndarray]:
        """Logits (labels,) of every document."""
        return list(cast(Any, output).logits.float().cpu().numpy())

    def truth(self, item: Item) -> Any:
        """The encoded label."""
        return item["labels"]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy and macro F1, micro and macro F1, or errors."""
        return scores(self.labels.problem_type, np.stack(predictions), np.asarray(truths))

    def answers(self, item: Item, prediction: Any) -> Iterator[dict[str, Any]]:
        """Label and probabilities of one document."""
        yield {"id": item["id"], "line": item["line"], **label_and_probabilities(self.labels, prediction)}


def label_and_probabilities(labels: Labels, logits: np.ndarray) -> dict[str, Any]:
    """Label and probabilities (None for regression) that logits (labels,) say."""
    if labels.problem_type == REGRESSION:
        return {"label": float(logits[0]), "probabilities": None}
    exact = torch.from_numpy(logits).double()
    several = labels.problem_type == MULTI
    shares = (exact.sigmoid() if several else exact.softmax(-1)).tolist()
    label = labels.decode(logits > 0 if several else logits.argmax())
    probabilities = {name: round(share, 6) for name, share in zip(labels.names, shares, strict=True)}
    return {"label": list(label) if several else label, "probabilities": probabilities}


def named_labels(names: Sequence[str]) -> dict[str, Any]:
    """Fields of a configuration that give the outputs of a head their names."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
