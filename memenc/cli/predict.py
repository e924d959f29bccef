"""`memenc predict`: what a trained model says of documents."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Annotated, Any, TextIO

import typer
from transformers import set_seed

from memenc.cli import console, options
from memenc.cli.corpus import chunks_of
from memenc.cli.outputs import check_output_file
from memenc.cli.predictions import check_format, writer_of
from memenc.cli.progress import document_progress
from memenc.cli.spread import spread
from memenc.trained import Trained, load_trained
from memenc.training.tasks import Examples, Task
from memenc.training.tasks.base import seen
from memenc.training.tasks.questions import QuestionTask

STANDARD_OUTPUT = Path("-")


@spread
def predict(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: options.ModelFolder,
    output: Annotated[
        Path,
        typer.Option(
            help="Where to write one JSON line per document or question, or one row if the name ends in .csv or .tsv; "
            "- is standard output."
        ),
    ] = STANDARD_OUTPUT,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the questions, or of the other documents, where the task reads some; what it calls the "
            "column if left out.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    answers: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many answers to give to a question, as far as there are so many; those after the first "
            "are in `further`.",
        ),
    ] = 1,
    task: options.TrainedTask = None,
    instruction: options.Instruction = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Label documents, or answer questions about them: any number of them, each of any length."""
    if output != STANDARD_OUTPUT:
        check_output_file(output)
        check_format(output)
    set_seed(seed)
    trained = load_trained(model, options.chosen_device(device), task, instruction)
    if label_column is not None and not trained.task.predicts_from_labels:
        said = f"--label-column {label_column}"
        raise ValueError(f"{said}: {trained.task.name} predicts from documents alone; leave it out")
    if answers > 1:
        trained = giving(trained, answers)
    reader = documents.records_of(trained.task, labelled=False, label_column=label_column)
    with opened(output) as file, document_progress() as shown:
        answers_to = writer_of(output, file)
        for chunk in chunks_of(reader):
            examples, predictions = trained.read(chunk, documents.data, False, reader.leaving_out)
            for line in lines_of(trained.task, examples, predictions):
                answers_to.write(line)
            shown.advance(len(chunk), trained.tokens_read(examples), reader.share_read)
    console.note_problems(reader.problems)


def giving(trained: Trained, answers: int) -> Trained:
    """The model with so many answers to every question.

    Raises:
        ValueError: it answers no questions.
    """
    if not isinstance(trained.task, QuestionTask):
        raise ValueError(f"--answers {answers}: {trained.task.name} answers no questions; leave it out")
    return replace(trained, task=trained.task.giving(answers))


def lines_of(task: Task, examples: Examples, predictions: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What is said of every document."""
    for item, prediction in zip(examples.items, predictions, strict=True):
        yield from (line | seen(item) for line in task.answers(item, prediction))


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """A file to write, which gets its name when it is complete and is called PATH.partial until then.

    Standard output is UTF-8 like a file, whatever the console has: no document stops the others.
    """
    if path == STANDARD_OUTPUT:
        with utf8(sys.stdout) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        yield file
    partial.replace(path)


@contextmanager
def utf8(stream: TextIO) -> Iterator[TextIO]:
    """A stream that encodes as UTF-8 meanwhile, if it encodes at all."""
    if not isinstance(stream, TextIOWrapper):
        yield stream
        return
    encoding, errors = stream.encoding, stream.errors
    stream.reconfigure(encoding="utf-8", errors="strict")
    try:
        yield stream
    finally:
        stream.reconfigure(encoding=encoding, errors=errors)
