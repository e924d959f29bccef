"""Labelled documents for training: read, understood and tokenised, with every problem named by its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from memenc.cli import console
from memenc.cli.options import BadRecord, DocumentOptions, TaskName, delimiter_of
from memenc.cli.progress import document_progress
from memenc.cli.spread import given_options
from memenc.data.records import Record, batches_of
from memenc.training.splits import split_places
from memenc.training.tasks import Examples, Task, TaskOptions, task_named
from memenc.training.tasks.base import ProblemType, QuestionPosition

# What is held at a time when a file is read in a stream: so many documents, or so many characters.
DOCUMENTS_PER_CHUNK = 256
CHARACTERS_PER_CHUNK = 16_000_000


@dataclass(frozen=True)
class CorpusOptions:
    """Where documents to train on come from, and what is learned from them.

    Args:
        train: training documents: .jsonl, .json, .csv, .tsv (each also .gz), .parquet, a folder saved by datasets, a
            datasets name, or - for JSON lines from standard input.
        validation: documents that choose the epoch.
        validation_share: share of --train that does, where there is no --validation; 0 for none.
        train_split: which split of a dataset to train on.
        validation_split: which split of --validation chooses the epoch, or of --train if there is no --validation.
        text_column: column of the documents; what the task calls it (text, document or words) if left out.
        label_column: column of the labels; what the task calls it (label, questions, labels or other) if left out.
        on_bad_record: stop at a record that cannot be used, or name it and go on.
        delimiter: what stands between the columns of .csv and .tsv, if no comma and no tab; tab is one, too.
        task: what to learn.
        problem_type: what the labels of sequence- or pair-classification are, if it is not what they look like.
        question_position: where question-answering puts the question: in every segment, for spans of the document, or
            last, for labels and a document that is read once.
        max_answer_tokens: tokens of the longest answer that question-answering gives.
        temperature: by which embedding divides cosines of pairs without similarities.
        instruction: text that stands before the document's own tokens in every segment, and before a question there;
            it is saved with the model.
    """

    train: str
    validation: str | None = None
    validation_share: float = 0.1
    train_split: str | None = None
    validation_split: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    on_bad_record: BadRecord = "error"
    delimiter: str | None = None
    task: TaskName = "sequence-classification"
    problem_type: ProblemType | None = None
    question_position: QuestionPosition = "every_segment"
    max_answer_tokens: int = 30
    temperature: float = 0.05
    instruction: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"--validation-share {self.validation_share}: give a share of at least 0 and below 1")
        used, given = task_named(self.task).used(self.task_options), given_options(self.task_options, TaskOptions())
        if idle := [option for name, option in given.items() if name not in used]:
            asked = [f"--task {self.task}", *(option for name, option in given.items() if name in used)]
            raise ValueError(f"{' '.join(idle)} changes nothing in {' '.join(asked)}; leave it out")

    @property
    def task_options(self) -> TaskOptions:
        """Those that a task may look at."""
        return TaskOptions(self.problem_type, self.question_position, self.max_answer_tokens, self.temperature)

    def read(self, source: str, split: str | None, known: Task | None = None) -> list[Record]:
        """All records of a source; those left out are named.

        Args:
            source: file, folder or name.
            split: of it.
            known: the task that other records describe: labels that it does not have are bad ones.

        Raises:
            ValueError: a bad record, or none at all.
        """
        task = task_named(self.task)
        delimiter = self.delimiter if source == self.train else delimiter_of(source, self.delimiter)
        documents = DocumentOptions(source, split, self.text_column, self.on_bad_record, delimiter)
        understanding = task.understanding(True, self.task_options) if known is None else known.knowing_labels(True)
        reader = documents.records(self.label_column or task.label_column, task.text_column, understanding)
        records: list[Record] = []
        with document_progress(f"reading {source}") as shown:
            for chunk in chunks_of(reader):
                records += chunk
                shown.advance(len(chunk), share=reader.share_read)
        console.note_problems(reader.problems)
        if not records:
            raise ValueError(f"{source} holds no documents")
        return records


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from, and what is learned.

    Args:
        options: where they come from.
        training: records to train on.
        validation: records of a source of their own; None takes a share of the others.
        task: what the training records describe.
    """

    options: CorpusOptions
    training: list[Record]
    validation: list[Record] | None
    task: Task

    @classmethod
    def of(cls, options: CorpusOptions) -> Corpus:
        """Read everything.

        Raises:
            ValueError: a bad record.
        """
        training, validation = options.read(options.train, options.train_split), None
        task = task_named(options.task).of(training, options.task_options)
        if options.validation is not None or options.validation_split is not None:
            validation = options.read(options.validation or options.train, options.validation_split, task)
        return cls(options, training, validation, task)

    def tokenised(self, tokenizer: PreTrainedTokenizerBase, seed: int, model: Any) -> tuple[Examples, Examples | None]:
        """Training examples, and validation examples if there are any; what the model cannot read is left out or named.

        Raises:
            ValueError: a record that cannot be used, with its line.
        """
        training, validation, source = self.training, self.validation, self.options.validation or self.options.train
        if validation is None:
            share, strata = self.options.validation_share, self.task.strata(training)
            kept, aside = split_places(len(training), share, seed, strata)
            training, validation = [self.training[place] for place in kept], [self.training[place] for place in aside]
        # The smaller part first: what is wrong with it is said before the long work starts.
        held = self._examples(validation, source, tokenizer, model) if validation else None
        return self._examples(training, self.options.train, tokenizer, model), held

    def _examples(
        self, records: Sequence[Record], source: str, tokenizer: PreTrainedTokenizerBase, model: Any
    ) -> Examples:
        problems: list[str] | None = [] if self.options.on_bad_record == "skip" else None
        found = self.task.examples(records, source, tokenizer, show_progress=True, model=model, problems=problems)
        console.note_problems(problems or [])
        if problems and not len(found):
            raise ValueError(f"{source}: not one of {len(problems):,} records can be used. {problems[0]}")
        return found


def chunks_of(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in lists that can be held at a time."""
    return batches_of(records, DOCUMENTS_PER_CHUNK, CHARACTERS_PER_CHUNK)


def texts_of(records: Sequence[Record]) -> list[str]:
    """The documents of records."""
    return [record.text for record in records]
