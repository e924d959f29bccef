"""Labelled documents for training: read, understood and tokenised, with every problem named by its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from memenc.cli import console
from memenc.cli.options import BadRecord, DocumentOptions
from memenc.data.labels import Labels
from memenc.data.records import Record
from memenc.estimator import split_validation
from memenc.training.documents import TokenizedDocuments

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True)
class CorpusOptions:
    """Where documents to train on come from, and what is learned from them.

    Args:
        train: training documents: .jsonl, .json, .csv (each also .gz), .parquet, a folder saved by datasets, or a
            datasets name.
        validation: documents that choose the epoch.
        validation_share: share of --train that does, where there is no --validation; 0 for none.
        train_split: which split of a dataset to train on.
        validation_split: which split of a dataset chooses the epoch.
        text_column: column of the documents.
        label_column: column of the labels.
        on_bad_record: stop at a record that cannot be used, or name it and go on.
        task: what to learn.
        problem_type: what the labels are, if it is not what they look like.
    """

    train: str
    validation: str | None = None
    validation_share: float = 0.1
    train_split: str | None = None
    validation_split: str | None = None
    text_column: str = "text"
    label_column: str = "label"
    on_bad_record: BadRecord = "error"
    task: Literal["sequence-classification"] = "sequence-classification"
    problem_type: ProblemType | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"--validation-share {self.validation_share}: give a share of at least 0 and below 1")

    def read(self, source: str, split: str | None) -> list[Record]:
        """All records of a source; those left out are named.

        Raises:
            ValueError: a bad record, or none at all.
        """
        reader = DocumentOptions(source, split, self.text_column, self.on_bad_record).records(self.label_column)
        with console.document_progress() as progress:
            records = list(progress.track(reader, description=f"reading {source}"))
        console.note_problems(reader.problems)
        if not records:
            raise ValueError(f"{source} holds no documents")
        return records


@dataclass(frozen=True)
class Corpus:
    """Documents and their labels, encoded as a head is trained on them.

    Args:
        texts: documents to train on.
        encoded: one label per document.
        validation: (texts, encoded) of a source of their own; None takes a share of the others.
        labels: what the labels of the training documents are.
    """

    texts: list[str]
    encoded: list[Any]
    validation: tuple[list[str], list[Any]] | None
    labels: Labels

    @classmethod
    def of(cls, options: CorpusOptions) -> Corpus:
        """Read everything.

        Raises:
            ValueError: a bad record, or a label that only validation documents have, with its line.
        """
        training, validation = options.read(options.train, options.train_split), None
        labels = Labels.infer([record.label for record in training], options.problem_type)
        if options.validation is not None:
            records = options.read(options.validation, options.validation_split)
            validation = texts_of(records), encoded_labels(records, labels, options.validation)
        return cls(texts_of(training), encoded_labels(training, labels, options.train), validation, labels)

    def tokenised(
        self, tokenizer: PreTrainedTokenizerBase, validation_share: float, seed: int
    ) -> tuple[TokenizedDocuments, TokenizedDocuments | None]:
        """Training documents, and validation documents if there are any."""
        training = TokenizedDocuments.from_texts(self.texts, tokenizer, self.encoded, show_progress=True)
        if self.validation is None:
            return split_validation(training, validation_share, seed)
        texts, encoded = self.validation
        return training, TokenizedDocuments.from_texts(texts, tokenizer, encoded, show_progress=True)


def texts_of(records: Sequence[Record]) -> list[str]:
    """The documents of records."""
    return [record.text for record in records]


def encoded_labels(records: Sequence[Record], labels: Labels, source: str) -> list[Any]:
    """The labels of records as a head is trained on them; the message for an unknown one names its line."""
    return [labels.encode(record.label, f"{source}, line {record.line}") for record in records]
