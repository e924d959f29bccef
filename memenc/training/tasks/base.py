"""The contract of a task: what it reads from a record, how it is trained, scored, and what is said of a document."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.data.collate import LongDocumentCollator
from memenc.data.questions import called
from memenc.data.records import Record, Understanding
from memenc.pretrained import MemencPreTrainedModel
from memenc.tasks.final_reading import ReadDocuments
from memenc.training.tasks.objective import Item, Objective

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
QuestionPosition = Literal["every_segment", "last"]
# What items call their documents, and what stands before what is said of them.
DOCUMENTS = {"input_ids": "", "pair_input_ids": "other_"}


@dataclass(frozen=True)
class TaskOptions:
    """What is asked of one task or another beside its records.

    Args:
        problem_type: what the labels of sequence- or pair-classification are, if it is not what they look like.
        question_position: where question-answering puts the question: in every segment, for spans of the document, or
            last, for labels and a document that is read once.
        max_answer_tokens: tokens of the longest answer that question-answering gives.
        temperature: by which embedding divides cosines of pairs without similarities.
    """

    problem_type: ProblemType | None = None
    question_position: QuestionPosition = "every_segment"
    max_answer_tokens: int = 30
    temperature: float = 0.05

    def __post_init__(self) -> None:
        if self.max_answer_tokens < 1:
            raise ValueError(f"max_answer_tokens={self.max_answer_tokens}: give at least 1")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}: give a number above 0")


class Examples(Dataset):
    """What a task trains on or reads: items with own tokens of a document, `input_ids`, and whatever it needs besides.

    Args:
        items: one mapping each.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = list(items)

    @classmethod
    def of(cls, records: Sequence[Record], items_of: Callable[[Record], list[Item]], show_progress: bool) -> Examples:
        """The items of every record, in order."""
        shown = track(records, "tokenising", transient=True, disable=not show_progress)
        return cls([item for record in shown for item in items_of(record)])

    @property
    def token_ids(self) -> list[np.ndarray]:
        """Own tokens of every item's document."""
        return [item["input_ids"] for item in self.items]

    @property
    def lengths(self) -> list[int]:
        """Tokens of every item, by which items of similar length are put together."""
        return [len(item["input_ids"]) + item.get("more_tokens", 0) for item in self.items]

    @property
    def read_lengths(self) -> list[int]:
        """Tokens of every document of every item: of both, where items are pairs."""
        return [len(item[name]) for item in self.items for name in DOCUMENTS if name in item]

    @property
    def document_lengths(self) -> list[int]:
        """Tokens of every document, each counted once."""
        # Several questions about a document share its array.
        documents = {id(item[name]): item[name] for item in self.items for name in DOCUMENTS if name in item}
        return [len(ids) for ids in documents.values()]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


class KnownLabels(Understanding):
    """An understanding that also refuses labels which the task does not have.

    Args:
        of: the rest of it.
        task: knows the labels.
    """

    def __init__(self, of: Understanding, task: Task) -> None:
        self.of, self.task = of, task

    def text(self, value: Any) -> str:
        """The document in its column."""
        return self.of.text(value)

    def check(self, record: Record) -> None:
        """Refuse labels first, so that a record that is left out takes no id away."""
        self.task.check_labels(record)
        self.of.check(record)


class Task(Objective):
    """One kind of work on documents, with what was learned of it from the training records.

    A task is one final class in one file of this folder and one line in its table.
    """

    name: ClassVar[str]
    text_column: ClassVar[str] = "text"
    label_column: ClassVar[str] = "label"
    # Questions stand in the label column and are needed to predict, labels are not.
    predicts_from_labels: ClassVar[bool] = False
    # Whether the model reads a document once and can then be asked again and again.
    asks_again: ClassVar[bool] = False
    # Validation examples below which the main score hardly tells epochs apart, such as which of two pairs belongs here.
    fewest_to_choose_by: ClassVar[int] = 1
    # What was asked for, as far as reading records goes.
    options: TaskOptions = TaskOptions()
    head: ClassVar[type[MemencPreTrainedModel]]

    @classmethod
    @abstractmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The task that training records describe.

        Raises:
            ValueError: they cannot be learned from.
        """

    @classmethod
    @abstractmethod
    def restored(cls, kept: dict[str, Any]) -> Self:
        """The task from what `kept` gave."""

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """What a trained folder must remember of the task, as plain JSON."""

    def described(self) -> dict[str, Any]:
        """What results say of the task."""
        return {"task": self.name, **self.kept()}

    @classmethod
    def used(cls, options: TaskOptions) -> tuple[str, ...]:
        """Fields of the options that change something."""
        return ()

    @abstractmethod
    def model_options(self) -> dict[str, Any]:
        """Fields of the model's configuration that the task decides."""

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """What the task makes of the columns of a record."""
        return Understanding

    def check_labels(self, record: Record) -> None:
        """Refuse labels that were not trained.

        Raises:
            ValueError: there is one.
        """

    def knowing_labels(self, labelled: bool) -> Callable[[], Understanding]:
        """What a task that knows its labels makes of the columns: a record with another label is a bad one."""
        understanding = self.understanding(labelled, self.options)
        return (lambda: KnownLabels(understanding(), self)) if labelled else understanding

    def ask(self, model: Any, read: ReadDocuments, part: dict[str, Tensor]) -> ModelOutput:
        """What the model says of the questions in a part, of one document that was read before.

        Raises:
            NotImplementedError: this task asks nothing, or reads anew for each question.
        """
        raise NotImplementedError(f"{self.name} reads a document anew")

    def strata(self, records: Sequence[Record]) -> Sequence[Any] | None:
        """One class per record, to be spread evenly over training and validation; None spreads at random."""
        return None

    @abstractmethod
    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """What is read for one record.

        Raises:
            ValueError: a label that was not trained, with its line.
        """

    def examples(
        self,
        records: Sequence[Record],
        source: str,
        tokenizer: PreTrainedTokenizerBase,
        labelled: bool = True,
        show_progress: bool = False,
        model: Any = None,
        problems: list[str] | None = None,
    ) -> Examples:
        """What is read for some records.

        Args:
            records: to be read.
            source: that they are from, for messages.
            tokenizer: of the backbone.
            labelled: with what is to be learned.
            show_progress: on a line.
            model: that must be able to read them.
            problems: takes what is wrong with records, which are then left out; None raises.

        Raises:
            ValueError: a record that cannot be used, with its line.
        """

        def items_of(record: Record) -> list[Item]:
            try:
                items = self.items(record, source, tokenizer, labelled)
                if model is not None:
                    self.check(model, items, source)
            except ValueError as error:
                if problems is None:
                    raise
                problems.append(str(error))
                return []
            return items

        return Examples.of(records, items_of, show_progress)

    def question_room(self, model: Any) -> int | None:
        """Tokens of the longest question that the model can read, None where nothing is asked."""
        return None

    def check(self, model: Any, items: Sequence[Item], source: str) -> None:
        """Refuse a question that is longer than its room.

        Raises:
            ValueError: there is one, with its line.
        """
        room = self.question_room(model)
        if room is None:
            return
        for item in items:
            for question, ids in zip(item["questions"], item["question_ids"], strict=True):
                if len(ids) > room:
                    raise ValueError(
                        f"{source}, line {item['line']}: {called(question)} has {len(ids)} tokens, but a segment has "
                        f"room for {room}; shorten it, or train with a longer --segment-length"
                    )

    @abstractmethod
    def answers(self, item: Item, prediction: Any) -> Iterator[dict[str, Any]]:
        """What is said of one item, as plain JSON: one or more lines of output."""


def seen(item: Item) -> dict[str, Any]:
    """How many tokens there are of every document of an item, and whether there are none."""
    tokens = {prefix: len(item[name]) for name, prefix in DOCUMENTS.items() if name in item}
    return {
        f"{prefix}{name}": value
        for prefix, count in tokens.items()
        for name, value in (("tokens_seen", count), ("empty", count == 0))
    }


def parts(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Values in lists of at most so many."""
    return (values[start : start + size] for start in range(0, len(values), size))


def documents_collator(model: Any) -> LongDocumentCollator:
    """Pads documents to whole segments of this model."""
    length = model.config.segment_length
    around = length - model.memenc.own_tokens_per_segment
    return LongDocumentCollator(model.memenc.encoder.special.padding, length, around)
