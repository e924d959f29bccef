"""`memenc predict`: label documents, one JSON line each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from memenc.cli import console, options
from memenc.cli.classifier import Classifier, chunks_of, load_classifier
from memenc.cli.corpus import texts_of
from memenc.cli.spread import spread
from memenc.data.records import Record


@spread
def predict(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: options.ModelFolder,
    output: Annotated[
        Path, typer.Option(help="Where to write one JSON line per document; - is standard output.")
    ] = Path("-"),
    device: options.Device = "auto",
) -> None:
    """Label documents: any number of them, each of any length."""
    classifier = load_classifier(model, options.chosen_device(device))
    reader = documents.records()
    with opened(output) as file, console.document_progress() as progress:
        task = progress.add_task("reading", total=None)
        for chunk in chunks_of(reader):
            for answer in answers(classifier, chunk):
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
            progress.advance(task, len(chunk))
    console.note_problems(reader.problems)


def answers(classifier: Classifier, chunk: list[Record]) -> Iterator[dict[str, Any]]:
    """What is said of every document."""
    logits, lengths = classifier.read(texts_of(chunk))
    for record, row, tokens in zip(chunk, logits, lengths, strict=True):
        place = {"id": record.id, "line": record.line}
        yield place | classifier.answer(row) | {"tokens_seen": tokens, "empty": tokens == 0}


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
