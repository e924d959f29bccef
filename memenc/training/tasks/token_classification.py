"""Token classification: a label for every word of a whole document, across the borders of segments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast, final

import numpy as np
import torch
from sklearn import metrics
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.data.offsets import PlacedTokens
from memenc.data.records import Record, Understanding
from memenc.tasks import MemencForTokenClassification
from memenc.tasks.token_classification import IGNORED
from memenc.training.entities import OUTSIDE, Entity, Scheme, entity_scores
from memenc.training.metrics import f1
from memenc.training.tasks.base import Task, TaskOptions, documents_collator
from memenc.training.tasks.objective import Item
from memenc.training.tasks.sequence_classification import named_labels

WORD = re.compile(r"\S+")


class Words(Understanding):
    """Documents as lists of words, or as text whose words are what white space divides, with a label for each.

    Args:
        labelled: labels are needed.
    """

    def __init__(self, labelled: bool) -> None:
        self.labelled = labelled

    def text(self, value: Any) -> str:
        """The words with a space between them."""
        if not isinstance(value, list):
            return super().text(value)
        for place, word in enumerate(value):
            if not isinstance(word, str) or not WORD.fullmatch(word):
                raise ValueError(f"must hold words without white space, word {place} is {word!r}")
        return " ".join(value)

    def check(self, record: Record) -> None:
        """One label per word."""
        if not self.labelled:
            return
        count = len(WORD.findall(record.text))
        labels = record.label
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"labels must be a list of texts, one per word, found {str(labels)[:40]!r}")
        if len(labels) != count:
            raise ValueError(f"{count} words but {len(labels)} labels; give one label per word")


@dataclass(frozen=True)
class Tagged:
    """Labels of a document's words: their numbers and probabilities, (words,)."""

    labels: np.ndarray
    scores: np.ndarray


@final
class TokenClassification(Task):
    """Labels of words; the first token of a word carries its label.

    Args:
        names: of the labels.
    """

    name = "token-classification"
    text_column, label_column = "words", "labels"
    head = MemencForTokenClassification
    main_score = "f1"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.scheme = Scheme.of(self.names)

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The task that the labels of training records describe.

        Raises:
            ValueError: fewer than two labels.
        """
        names = sorted({label for record in records for label in record.label})
        if len(names) < 2:
            raise ValueError(f"token-classification needs words of at least 2 labels, the data has {names}")
        return cls(names)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Self:
        """The task from what a folder remembers."""
        return cls(kept["names"])

    def kept(self) -> dict[str, Any]:
        """The labels."""
        return {"names": list(self.names)}

    def model_options(self) -> dict[str, Any]:
        """Names of the labels."""
        return named_labels(self.names)

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Words with labels."""
        return lambda: Words(labelled)

    def check_labels(self, record: Record) -> None:
        """Refuse labels that were not trained."""
        Words(True).check(record)
        for label in record.label:
            self._number(label)

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """One item per document.

        Raises:
            ValueError: a label that was not trained, with its line.
        """
        placed = PlacedTokens.of(record.text, tokenizer)
        words = [match.span() for match in WORD.finditer(record.text)]
        found = [placed.tokens(*word) for word in words]
        # A word of which the tokenizer keeps nothing has no token: it is said to be outside.
        firsts = np.array([IGNORED if tokens is None else tokens[0] for tokens in found], dtype=np.int64)
        item: Item = {"input_ids": placed.ids, "words": words, "firsts": firsts, "text": record.text}
        item |= {"id": record.id, "line": record.line}
        if labelled:
            numbers = [self._number(label, f"{source}, line {record.line}: ") for label in record.label]
            item["labels"] = np.array(numbers, dtype=np.int64)
        return [item]

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Documents, and labels at the first tokens of their words."""
        documents = documents_collator(model)([{"input_ids": item["input_ids"]} for item in items])
        if "labels" not in items[0]:
            return documents
        labels = torch.full_like(documents["input_ids"], IGNORED)
        for row, item in enumerate(items):
            there = item["firsts"] >= 0
            labels[row, torch.from_numpy(item["firsts"][there])] = torch.from_numpy(item["labels"][there])
        return {**documents, "labels": labels}

    def weight(self, item: Item) -> int:
        """Words of which the tokenizer keeps something."""
        return int((item["firsts"] >= 0).sum())

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[Tagged]:
        """The most probable label of every word."""
        shares = cast(Tensor, output["logits"]).float().softmax(-1)
        best, numbers = (each.cpu().numpy() for each in shares.max(-1))
        outside = self.numbers.get(OUTSIDE, 0)
        found = []
        for row, item in enumerate(items):
            firsts, there = item["firsts"].clip(min=0), item["firsts"] >= 0
            if not there.any():
                found.append(Tagged(np.full(len(firsts), outside), np.zeros(len(firsts))))
                continue
            labels = np.where(there, numbers[row][firsts], outside)
            found.append(Tagged(labels, np.where(there, best[row][firsts], 0.0)))
        return found

    def truth(self, item: Item) -> np.ndarray:
        """Numbers of the labels of words."""
        return item["labels"]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy over words, micro F1 over the labels other than O, macro F1 over all; F1 of whole entities."""
        said, right = np.concatenate([found.labels for found in predictions]), np.concatenate(truths)
        inside = [number for name, number in self.numbers.items() if name != OUTSIDE]
        entities = [[self._named(each.labels) for each in predictions], [self._named(each) for each in truths]]
        options: Any = {"labels": inside, "average": "micro", "zero_division": 0}
        return {
            "words": len(right),
            "accuracy": float(metrics.accuracy_score(right, said)),
            "f1": float(metrics.f1_score(right, said, **options)),
            "macro_f1": f1(right, said, "macro"),
            **entity_scores(self.scheme, *entities),
        }

    def answers(self, item: Item, prediction: Tagged) -> Iterator[dict[str, Any]]:
        """One line per document: labels of all words, and every stretch of words that is not outside."""
        labels = self._named(prediction.labels)
        yield {
            "id": item["id"],
            "line": item["line"],
            "labels": labels,
            "entities": [placed(entity, item["words"], item["text"]) for entity in self.scheme.entities(labels)],
        }

    def cut(self, item: Item, start: int, end: int) -> Item:
        """A stretch of the document with the words that start in it."""
        inside = (item["firsts"] >= start) & (item["firsts"] < end)
        firsts, labels = item["firsts"][inside] - start, item["labels"][inside]
        return item | {"input_ids": item["input_ids"][start:end], "firsts": firsts, "labels": labels}

    def _named(self, numbers: np.ndarray) -> list[str]:
        return [self.names[number] for number in numbers]

    def _number(self, label: str, where: str = "") -> int:
        if label not in self.numbers:
            raise ValueError(f"{where}unknown label {label!r}; trained were {', '.join(self.names)}")
        return self.numbers[label]


def placed(entity: Entity, words: Sequence[tuple[int, int]], text: str) -> dict[str, Any]:
    """An entity in characters of the text, `words` being first character and the one behind the last of each."""
    start, end = words[entity.start][0], words[entity.end - 1][1]
    return {"label": entity.kind, "start": start, "end": end, "text": text[start:end]}
