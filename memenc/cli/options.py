"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from memenc import devices
from memenc.cli import key_values
from memenc.data.records import RecordReader, Understanding, read_records
from memenc.training.tasks import TASKS, Task

DATA, MODEL, TRAINING = "Data", "Model", "Training"

ModelFolder = Annotated[Path, typer.Option(help="Folder written by memenc train.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the checkpoints of an earlier run in --output.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every random number.")]
BadRecord = Literal["error", "skip"]
TaskName = Literal[
    "sequence-classification",
    "question-answering",
    "multiple-choice",
    "token-classification",
    "embedding",
    "pair-classification",
]
Instruction = Annotated[
    str | None, typer.Option(help="Text to stand in every segment in the place of the model's own instruction.")
]
TrainedTask = Annotated[
    str | None, typer.Option(help=f"What the model must have been trained for, one of: {', '.join(TASKS)}.")
]


@dataclass(frozen=True)
class DocumentOptions:
    """Where documents come from.

    Args:
        data: documents: .jsonl, .json, .csv, .tsv (each also .gz), .parquet, a folder saved by datasets, a datasets
            name; .txt, a folder or a pattern of them, one document in each; or - for JSON lines from standard input.
        split: which split of a dataset.
        text_column: column of the documents; what the task calls it (text, document or words) if left out.
        on_bad_record: stop at a record that cannot be used, or name it and go on.
        delimiter: what stands between the columns of .csv and .tsv, if no comma and no tab; tab is one, too.
    """

    data: str
    split: str | None = None
    text_column: str | None = None
    on_bad_record: BadRecord = "error"
    delimiter: str | None = None

    def records(
        self,
        label_column: str | None = None,
        text_column: str = "text",
        understanding: Callable[[], Understanding] = Understanding,
    ) -> RecordReader:
        """The documents, read in a stream, with labels if a column is named; `text_column` if none was asked for."""
        return read_records(
            self.data,
            text_column=self.text_column or text_column,
            label_column=label_column,
            split=self.split,
            on_bad_record=self.on_bad_record,
            understanding=understanding,
            delimiter=self.delimiter,
        )

    def records_of(self, task: Task, labelled: bool, label_column: str | None = None) -> RecordReader:
        """The documents as a trained task reads them."""
        column = label_column or task.label_column
        needed = labelled or task.predicts_from_labels
        return self.records(column if needed else None, task.text_column, task.knowing_labels(labelled))


@dataclass(frozen=True)
class TextOptions(DocumentOptions):
    """Where documents come from that no task reads.

    Args:
        data: documents: .jsonl, .json, .csv, .tsv (each also .gz), .parquet, a folder saved by datasets, a datasets
            name; .txt, a folder or a pattern of them, with one document in each; or - for standard input.
        split: which split of a dataset.
        text_column: column of the documents.
        on_bad_record: stop at a record that cannot be used, or name it and go on.
        delimiter: what stands between the columns of .csv and .tsv, if no comma and no tab; tab is one, too.
    """

    text_column: str | None = "text"


@dataclass(frozen=True)
class ModelOptions:
    """What a model is made of.

    Args:
        memory: memory design; an unknown one lists those there are.
        memory_option: option of the memory design, key=value; may be repeated.
        segment_length: tokens of one segment, special tokens included.
        readout: how the final memory becomes one vector.
        model_option: further field of MemencConfig, key=value, such as memory_layers=[2,3]; an unknown one lists those
            there are; may be repeated.
    """

    memory: str = "compressive"
    memory_option: list[str] | None = None
    segment_length: int = 512
    readout: str = "memory"
    model_option: list[str] | None = None

    @property
    def memory_options(self) -> dict[str, Any] | None:
        """Keyword arguments of the design, None for its defaults."""
        return key_values.memory_options(self.memory_option or ()) or None

    @property
    def further_options(self) -> dict[str, Any]:
        """Fields of MemencConfig that have no option of their own."""
        return key_values.model_options(self.model_option or ())

    @property
    def model_options(self) -> dict[str, Any]:
        """Fields of MemencConfig."""
        return {"segment_length": self.segment_length, "readout": self.readout, **self.further_options}


def chosen_device(name: str) -> torch.device:
    """The device of this name; "auto" is the graphics card if there is one.

    Raises:
        ValueError: "cuda" without one.
    """
    return devices.chosen_device(None if name == "auto" else name)


def delimiter_of(source: str, delimiter: str | None) -> str | None:
    """The delimiter, if a source beside the main one has any."""
    return delimiter if {".csv", ".tsv"} & set(Path(source.lower()).suffixes) else None
