"""`memenc probe`: what one trained model forgets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.cli import console, options
from memenc.cli.outputs import check_output_folder
from memenc.cli.spread import spread
from memenc.config import MemencConfig
from memenc.data.decisive_sentence import filler_chunks, filler_of_split
from memenc.data.records import Record
from memenc.data.token_buffer import TokenBuffer
from memenc.data.tokens import stream_token_ids, tokenize_document
from memenc.diagnostics.probing.facts import Facts
from memenc.diagnostics.probing.probe import Probe, ProbeSettings
from memenc.diagnostics.probing.probe import probe as measured
from memenc.diagnostics.probing.reading import Told
from memenc.diagnostics.probing.report import save_report
from memenc.model import MemencModel, memenc_of
from memenc.progress import NowAndThen
from memenc.saved import load_whole, require_folder
from memenc.tasks import MemencForSequenceClassification

# What is read of a file: the first so many documents, of each the beginning.
READ, SEGMENTS_READ = 64, 64
GENERATED = 8
SPREAD_PANEL = "Measurements"


@dataclass(frozen=True)
class Read:
    """Documents to probe with.

    Args:
        ids: own tokens of each, (tokens,).
        labels: numbers of their labels among the model's, None without.
    """

    ids: list[Tensor]
    labels: list[int] | None = None


@spread
def probe(
    settings: Annotated[ProbeSettings, SPREAD_PANEL],
    model: options.ModelFolder,
    documents: Annotated[
        str | None,
        typer.Option(
            help="Your documents (64 of them; 64 segments of each, with labels all); generated prose without.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Column of --documents.", rich_help_panel=options.DATA)] = "text",
    label_column: Annotated[
        str | None, typer.Option(help="Column of their labels, if they have any.", rich_help_panel=options.DATA)
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="What separates columns of .csv, if no comma; tab is one.", rich_help_panel=options.DATA),
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(
            help="Short texts to hide and find, columns text and label; sentences about an application without.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Name or folder, if the model's folder has none.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for probe.html, probe.json, probe.csv and pictures.")] = Path(
        "probe-output"
    ),
    device: options.Device = "auto",
) -> None:
    """Measure what a trained model forgets: by distance, by layer, when written and when read."""
    check_output_folder(output)
    for option, column, left_out in (("label", label_column, None), ("text", text_column, "text")):
        if documents is None and column != left_out:
            raise ValueError(f"--{option}-column {column} is for --documents; give them, or leave it out")
    if delimiter is not None and documents is None and facts is None:
        raise ValueError(f"--delimiter {delimiter} is for --documents and --facts; give some, or leave it out")
    set_seed(settings.seed)
    loaded, words = load_model(model), load_tokenizer(model, tokenizer)
    loaded.to(options.chosen_device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
    read = (
        generated_documents(words)
        if documents is None
        else own_documents(
            loaded, words, options.DocumentOptions(documents, None, text_column, delimiter=delimiter), label_column
        )
    )
    told_facts = Facts.generated(words, settings.seed) if facts is None else own_facts(words, facts, delimiter)
    with progress() as told:
        found = measured(loaded, read.ids, told_facts, settings, read.labels, words, told)
        told("writing the report")
        save_report(
            found, output, model=str(model), documents=documents or "generated prose", facts=facts or "generated"
        )
    show(found)
    console.note(f"in {output}: probe.html, probe.json, probe.csv and pictures")


def load_model(folder: Path) -> MemencModel | MemencForSequenceClassification:
    """A saved model, with its head if it is a classifier.

    Raises:
        ValueError: the folder holds no memenc model.
    """
    require_folder(folder)
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, MemencConfig):
        raise ValueError(f"{folder} is a plain encoder without a memory; give a folder written by memenc train")
    if MemencForSequenceClassification.__name__ in (config.architectures or []):
        return load_whole(MemencForSequenceClassification, folder)
    return load_whole(MemencModel, folder)


def load_tokenizer(folder: Path, name: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer that is named, or the one beside the model.

    Raises:
        ValueError: there is none.
    """
    if name is None and not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
        raise ValueError(f"{folder} holds no tokenizer, so no text can be read; give --tokenizer, or save one there")
    return AutoTokenizer.from_pretrained(name or folder)


def generated_documents(tokenizer: PreTrainedTokenizerBase) -> Read:
    """Prose that no classifier of the demo was trained on, as a few long documents."""
    prose = filler_of_split(filler_chunks(), "test")
    share = -(-len(prose) // GENERATED)
    texts = [" ".join(prose[start : start + share]) for start in range(0, len(prose), share)]
    return Read([torch.from_numpy(tokenize_document(text, tokenizer).astype("int64")) for text in texts])


def own_documents(
    model: MemencModel | MemencForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    documents: options.DocumentOptions,
    label_column: str | None,
) -> Read:
    """The first documents of a source, and the numbers of their labels.

    Raises:
        ValueError: no documents, or labels that the model does not have.
    """
    source, records = documents.data, list(islice(documents.records(label_column), READ))
    if not records:
        raise ValueError(f"{source} holds no documents")
    if label_column is not None:
        # What is said of labels is said of whole documents.
        whole = [torch.from_numpy(tokenize_document(record.text, tokenizer).astype("int64")) for record in records]
        return Read(whole, label_numbers(model, records, source))
    most = SEGMENTS_READ * memenc_of(model).own_tokens_per_segment
    buffers = [TokenBuffer(stream_token_ids(record.text, tokenizer)) for record in records]
    return Read([torch.tensor(buffer.take(buffer.fill(most)), dtype=torch.long) for buffer in buffers])


def label_numbers(
    model: MemencModel | MemencForSequenceClassification, records: list[Record], source: str
) -> list[int]:
    """Number of every label among the outputs of a classifier.

    Raises:
        ValueError: the model is none with one label per document, or does not know a label.
    """
    config = model.config
    if not isinstance(model, MemencForSequenceClassification) or config.problem_type not in (
        None,
        "single_label_classification",
    ):
        raise ValueError("--label-column needs a classifier with one label per document; leave it out for this model")
    numbers: dict[str, int] = {str(name): int(number) for number, name in (config.id2label or {}).items()}
    for record in records:
        if str(record.label) not in numbers:
            known = ", ".join(numbers)
            raise ValueError(f"{source}, line {record.line}: label {record.label!r} is none of the model's ({known})")
    return [numbers[str(record.label)] for record in records]


def own_facts(tokenizer: PreTrainedTokenizerBase, source: str, delimiter: str | None) -> Facts:
    """Short texts and their classes, in columns that are called text and label."""
    documents = options.DocumentOptions(source, delimiter=options.delimiter_of(source, delimiter))
    records = list(documents.records("label"))
    return Facts.of([record.text for record in records], [str(record.label) for record in records], tokenizer)


@contextmanager
def progress() -> Iterator[Told]:
    """A line that says what is being measured, or in a file one now and then."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # Written to a file, a line that moves would leave empty lines behind.
    with Progress(*columns, console=console.err(), transient=True, disable=not console.err().is_terminal) as shown:
        task = shown.add_task("reading", total=None)
        lines = NowAndThen(shown.console)

        def told(message: str) -> None:
            shown.update(task, description=message)
            lines.tell(message)

        yield told


def show(found: Probe) -> None:
    """What was found, on standard output."""
    summary: dict[str, Any] = {"memory": found.memory, "own_tokens_per_segment": found.segment_length}
    console.out().print(console.facts("what the model forgets", summary))
    for sentence in found.sentences():
        console.out().print(f"- {sentence}", markup=False, highlight=False, soft_wrap=True)
