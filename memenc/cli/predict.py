"""`memenc predict`: what a trained model says of documents, as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from memenc.cli import console, options
from memenc.cli.spread import spread
from memenc.cli.trained import Trained, chunks_of, load_trained
from memenc.data.records import Record


@spread
def predict(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: options.ModelFolder,
    output: Annotated[
        Path, typer.Option(help="Where to write one JSON line per document or question; - is standard output.")
    ] = Path("-"),
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the questions, or of the other documents, where the task reads some; what it calls the "
            "column if left out.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    task: options.TrainedTask = None,
    instruction: options.Instruction = None,
    device: options.Device = "auto",
) -> None:
    """Label documents, or answer questions about them: any number of them, each of any length."""
    trained = load_trained(model, options.chosen_device(device), task, instruction)
    if label_column is not None and not trained.task.predicts_from_labels:
        said = f"--label-column {label_column}"
        raise ValueError(f"{said}: {trained.task.name} predicts from documents alone; leave it out")
    reader = documents.records_of(trained.task, labelled=False, label_column=label_column)
    with opened(output) as file, console.document_progress() as progress:
        shown = progress.add_task("reading", total=None)
        for chunk in chunks_of(reader):
            for answer in answers(trained, chunk, documents.data, reader.leaving_out):
                file.write(as_line(answer))
            progress.advance(shown, len(chunk))
    console.note_problems(reader.problems)


def answers(
    trained: Trained, chunk: list[Record], source: str, problems: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """What is said of every document."""
    examples, predictions = trained.read(chunk, source, False, problems)
    for item, prediction in zip(examples.items, predictions, strict=True):
        yield from trained.task.answers(item, prediction)


def as_line(answer: dict[str, Any]) -> str:
    """One line of JSON; half a surrogate pair, which no encoding has, stays the escape that it was read from."""
    line = json.dumps(answer, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(answer)
    return line + "\n"


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """A file to write, which gets its name when it is complete and is called PATH.partial until then."""
    if str(path) == "-":
        yield sys.stdout
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        yield file
    partial.replace(path)
