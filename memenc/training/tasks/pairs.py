"""What tasks on pairs of documents share: both documents of a record, read side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.data.records import Record, Understanding
from memenc.data.tokens import tokenize_document
from memenc.tasks import MemencForTextPairs, collate_pairs
from memenc.training.tasks.base import Task, TaskOptions, documents_collator
from memenc.training.tasks.objective import Item

# Column of what is said about a pair; that of the other document is the task's `label_column`.
LABEL = "label"


class Pairs(Understanding):
    """Documents with another one."""

    def check(self, record: Record) -> None:
        """Refuse another that is no text."""
        if not isinstance(record.label, str):
            raise ValueError(f"the other document must be text, found {str(record.label)[:40]!r}")


class PairTask(Task):
    """What is learned of two documents; a record has the second one in the label column."""

    label_column = "other"
    predicts_from_labels = True
    head = MemencForTextPairs

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Two documents."""
        return Pairs

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """One item per pair."""
        first, second = (tokenize_document(text, tokenizer) for text in (record.text, record.label))
        item = {"input_ids": first, "pair_input_ids": second, "more_tokens": len(second)}
        return [item | {"id": record.id, "line": record.line} | (self._wanted(record, source) if labelled else {})]

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """First and second documents, and what is said about them where it is known."""
        names = ("input_ids", "pair_input_ids", "labels")
        return collate_pairs(
            documents_collator(model), [{name: item[name] for name in names if name in item} for item in items]
        )

    def cut(self, item: Item, start: int, end: int) -> Item:
        """Refuse: nobody knows which part makes a pair what it is."""
        raise ValueError("segment_curriculum and most_segments cannot cut pairs of documents; leave them out")

    @abstractmethod
    def _wanted(self, record: Record, source: str) -> Item:
        """What is learned of a pair, or scored."""
