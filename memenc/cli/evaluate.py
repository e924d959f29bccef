"""`memenc evaluate`: score a trained classifier on labelled documents."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from memenc.cli import console, options
from memenc.cli.classifier import Classifier, chunks_of, load_classifier
from memenc.cli.corpus import encoded_labels, texts_of
from memenc.cli.spread import spread
from memenc.results import write_results
from memenc.training.metrics import scores


@spread
def evaluate(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: options.ModelFolder,
    label_column: Annotated[str, typer.Option(help="Column of the labels.", rich_help_panel=options.DATA)] = "label",
    output: Annotated[
        Path | None, typer.Option(help="Where to write the results: FILE.json, and FILE.csv beside it.")
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Score a trained classifier on labelled documents."""
    classifier = load_classifier(model, options.chosen_device(device))
    result = evaluated(classifier, documents, label_column)
    console.out().print(console.facts(f"{model} on {documents.data}", result))
    if output is not None:
        path = output.with_suffix("") if output.suffix == ".json" else output
        write_results(path, [result], model=model, options=asdict(documents) | {"label_column": label_column})


def evaluated(classifier: Classifier, documents: options.DocumentOptions, label_column: str) -> dict[str, Any]:
    """Documents, tokens, time and scores of one file.

    Raises:
        ValueError: no documents, a bad record, or a label that was not trained.
    """
    reader = documents.records(label_column)
    truth: list[Any] = []
    logits, tokens, started = [], 0, time.monotonic()
    with console.document_progress() as progress:
        task = progress.add_task("reading", total=None)
        for chunk in chunks_of(reader):
            truth += encoded_labels(chunk, classifier.labels, documents.data)
            rows, lengths = classifier.read(texts_of(chunk))
            logits.append(rows)
            tokens += sum(lengths)
            progress.advance(task, len(chunk))
    console.note_problems(reader.problems)
    if not truth:
        raise ValueError(f"{documents.data} holds no documents")
    seconds = time.monotonic() - started
    found = scores(classifier.labels.problem_type, np.concatenate(logits), np.asarray(truth))
    speed = {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / max(seconds, 1e-9)}
    return {"documents": len(truth), **found, **speed}
