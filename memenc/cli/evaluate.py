"""`memenc evaluate`: score a trained model on labelled documents."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from transformers import set_seed

from memenc.cli import console, options
from memenc.cli.corpus import chunks_of
from memenc.cli.outputs import check_output_file
from memenc.cli.progress import document_progress
from memenc.cli.spread import spread
from memenc.storage.results import write_results
from memenc.trained import Trained, load_trained


@spread
def evaluate(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: options.ModelFolder,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the labels; what the task calls it (label, questions, labels or other) if left out.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write the results: FILE.json, and FILE.csv beside it.")
    ] = None,
    task: options.TrainedTask = None,
    instruction: options.Instruction = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Score a trained model on labelled documents."""
    path = output.with_suffix("") if output is not None and output.suffix == ".json" else output
    if path is not None:
        for suffix in (".json", ".csv"):
            check_output_file(path.with_name(path.name + suffix))
    set_seed(seed)
    trained = load_trained(model, options.chosen_device(device), task, instruction)
    result = evaluated(trained, documents, label_column)
    console.out().print(console.facts(f"{model} on {documents.data}", result))
    if path is not None:
        columns = {
            "text_column": documents.text_column or trained.task.text_column,
            "label_column": label_column or trained.task.label_column,
        }
        facts = {"options": asdict(documents) | columns, "instruction": instruction}
        write_results(path, [result], model=model, seed=seed, **facts)


def evaluated(trained: Trained, documents: options.DocumentOptions, label_column: str | None) -> dict[str, Any]:
    """Documents, tokens, time and scores of one file.

    Raises:
        ValueError: no documents, a bad record, or a label that was not trained.
    """
    reader = documents.records_of(trained.task, labelled=True, label_column=label_column)
    predictions: list[Any] = []
    truths: list[Any] = []
    count, tokens, started = 0, 0, time.monotonic()
    with document_progress() as shown:
        for chunk in chunks_of(reader):
            before = len(reader.problems)
            examples, found = trained.read(chunk, documents.data, True, reader.leaving_out)
            predictions += found
            truths += [trained.task.truth(item) for item in examples.items]
            read = trained.tokens_read(examples)
            tokens += read
            count += len(chunk) - (len(reader.problems) - before)
            shown.advance(len(chunk), read, reader.share_read)
    console.note_problems(reader.problems)
    if not truths:
        raise ValueError(f"{documents.data} holds no documents")
    seconds = time.monotonic() - started
    speed = {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / max(seconds, 1e-9)}
    return {"documents": count, **trained.task.scores(predictions, truths), **speed}
