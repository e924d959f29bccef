"""`memenc pretrain`: let memory learn from documents without labels."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from transformers import AutoTokenizer, set_seed

from memenc.cli import console, options
from memenc.cli.spread import spread
from memenc.data.report import corpus_report
from memenc.data.tokens import without_limit
from memenc.estimator import DEFAULT_BACKBONE
from memenc.results import write_results
from memenc.tasks import MemencForMaskedLM
from memenc.training.adaptation.cost import CostCallback
from memenc.training.documents import TokenizedDocuments
from memenc.training.pretrain import PretrainingSettings, train_masked_lm


@spread
def pretrain(
    documents: Annotated[options.DocumentOptions, options.DATA],
    model: Annotated[options.ModelOptions, options.MODEL],
    settings: Annotated[PretrainingSettings, options.TRAINING],
    output: Annotated[Path, typer.Option(help="Folder for the model and the results.")],
    backbone: Annotated[
        str, typer.Option(help="Hugging Face encoder: name or folder.", rich_help_panel=options.MODEL)
    ] = DEFAULT_BACKBONE,
    device: options.Device = "auto",
) -> None:
    """Predict masked tokens of documents without labels; then memenc train --backbone OUTPUT."""
    chosen = options.chosen_device(device)
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    made = MemencForMaskedLM.from_backbone(
        backbone, model.memory, model.memory_options, tokenizer=tokenizer, **model.model_options
    )
    reader = documents.records()
    read = TokenizedDocuments.from_texts((record.text for record in reader), tokenizer, show_progress=True)
    console.note_problems(reader.problems)
    report = corpus_report(read.lengths)
    for line in report.lines():
        console.note(line)
    cost = CostCallback(settings.adapt, Console(stderr=True))
    with tempfile.TemporaryDirectory() as checkpoints:
        log = train_masked_lm(made, tokenizer, read, settings, checkpoints, chosen.type, [cost])
    made.save_pretrained(output)
    without_limit(tokenizer).save_pretrained(output)
    facts = {"options": asdict(documents) | asdict(model), "settings": asdict(settings), "corpus": asdict(report)}
    write_results(output / "results", log, seed=settings.seed, **facts, adaptation=cost.as_dict())
    console.note(f"saved to {output}; next: memenc train --backbone {output} with the same --memory and its options")
