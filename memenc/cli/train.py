"""`memenc train`: fine-tune a model on documents in a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.cli import console, options
from memenc.cli.corpus import Corpus, CorpusOptions
from memenc.cli.spread import spread
from memenc.cli.trained import Trained, save_trained
from memenc.data.report import corpus_report
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.estimator import DEFAULT_BACKBONE, LongDocumentClassifier
from memenc.files import write_whole
from memenc.lockstep import is_first_process
from memenc.pretrained import MemencPreTrainedModel
from memenc.results import plain, write_results
from memenc.training.adaptation import options_for
from memenc.training.adaptation.cost import CostCallback
from memenc.training.run import answered, fine_tune
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples, Task

CHECKPOINTS = "checkpoints"
RUN_FILE = "run.json"
# They change the memory that training needs, not its result.
FREE_ON_RESUME = ("tokens_per_batch", "activation_checkpointing", "save_steps")


@spread
def train(
    corpus: Annotated[CorpusOptions, options.DATA],
    model: Annotated[options.ModelOptions, options.MODEL],
    settings: Annotated[TrainingSettings, options.TRAINING],
    output: Annotated[Path, typer.Option(help="Folder for the model, its checkpoints and results.")],
    backbone: Annotated[
        str, typer.Option(help="Hugging Face encoder: name or folder.", rich_help_panel=options.MODEL)
    ] = DEFAULT_BACKBONE,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --output.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the checkpoints of an earlier run in --output.")
    ] = False,
    device: options.Device = "auto",
) -> None:
    """Fine-tune an encoder with memory on documents of any length."""
    chosen = options.chosen_device(device)
    check_checkpoints(output / CHECKPOINTS, resume, overwrite)
    estimator = LongDocumentClassifier(
        backbone,
        model.memory,
        model.memory_options,
        options_for(settings.adapt, model.model_options | instructed(corpus.instruction)),
        settings.as_dict() | {"validation_share": corpus.validation_share},
        random_state=settings.seed,
    )
    read = Corpus.of(corpus)
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    trained = Trained(new_model(estimator, tokenizer, read.task), tokenizer, read.task)
    training, validation = read.tokenised(tokenizer, settings.seed)
    for examples, source in ((validation, corpus.validation or corpus.train), (training, corpus.train)):
        if examples is not None:
            read.task.check(trained.model, examples, source)
    parameters = estimator.get_params(deep=False)
    run = {"parameters": parameters, "corpus": described(training), **read.task.described()}
    if is_first_process():
        start_run(output / CHECKPOINTS, plain(run), resume)
    cost = CostCallback(settings.adapt, console.err())
    with hint_when_stopped():
        log = fine_tune(
            trained.model,
            trained.task,
            training,
            validation,
            settings,
            output / CHECKPOINTS,
            resume,
            device=chosen.type,
            callbacks=[*LivenessCallback.watching(trained.model, training.token_ids), cost],
        )
    if not is_first_process():
        return
    save_trained(output, trained, parameters)
    found = None if validation is None else show_scores(trained, validation)
    facts = {"options": asdict(corpus), **run, "adaptation": cost.as_dict(), "validation": found}
    write_results(output / "results", log, seed=settings.seed, **facts)
    console.note(f"saved to {output}; next: memenc predict --model {output} --data FILE")


def instructed(instruction: str | None) -> dict[str, Any]:
    """Fields of MemencConfig that an instruction needs."""
    return {} if instruction is None else {"instruction": instruction}


def check_checkpoints(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that checkpoints of two runs do not mix.

    Raises:
        ValueError: there are checkpoints, and nobody said what to do with them.
    """
    found = any(folder.glob("checkpoint-*"))
    if resume and overwrite:
        raise ValueError("--resume and --overwrite contradict each other; give one of them")
    if found and not (resume or overwrite):
        raise ValueError(
            f"{folder} holds checkpoints of an earlier run; add --resume or --overwrite, or change --output"
        )
    if resume and not found:
        console.note(f"no checkpoint in {folder}: starting from the beginning", style="yellow")


def start_run(folder: Path, run: dict[str, Any], resume: bool) -> None:
    """Write down what is trained on what; when going on from a checkpoint, make sure that it is the same.

    Raises:
        ValueError: the earlier run was another one.
    """
    file = folder / RUN_FILE
    if resume and file.is_file():
        changed = differences(json.loads(file.read_text(encoding="utf-8")), run)
        if changed:
            raise ValueError(f"--resume: the earlier run had {'; '.join(changed)}. Give the same, or another --output")
    elif not resume:
        # Only now, when nothing can be wrong with what was asked for any more.
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(run, indent=2))


def differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two runs, in words, except for settings that leave the result as it is."""
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return [] if earlier == now else [f"{name} {earlier!r}, this one {now!r}"]
    keys = [key for key in {**earlier, **now} if key not in FREE_ON_RESUME]
    return [text for key in keys for text in differences(earlier.get(key), now.get(key), key)]


def new_model(
    estimator: LongDocumentClassifier, tokenizer: PreTrainedTokenizerBase, task: Task
) -> MemencPreTrainedModel:
    """The model that an estimator's parameters describe, with the head of the task."""
    return task.head.from_backbone(
        estimator.backbone,
        estimator.memory,
        estimator.memory_options,
        tokenizer=tokenizer,
        **task.model_options(),
        **(estimator.model_options or {}),
    )


def described(training: Examples) -> dict[str, Any]:
    """The report on the training documents, said aloud and as plain values."""
    lengths = training.document_lengths
    report = corpus_report(lengths)
    for line in report.lines():
        console.note(line)
    empty = lengths.count(0)
    if empty:
        console.note(f"{empty:,} of the training documents are empty: nothing but their label can be learned", "yellow")
    return asdict(report) | {"empty": empty}


@contextmanager
def hint_when_stopped() -> Iterator[None]:
    """Say how to go on when somebody stops the training."""
    try:
        yield
    except KeyboardInterrupt:
        console.note("stopped; the same command with --resume goes on from the last checkpoint", style="yellow")
        raise


def show_scores(trained: Trained, validation: Examples) -> dict[str, float]:
    """Scores of the trained model on the validation documents, as a table and as plain values."""
    predictions = answered(trained.model, trained.task, validation).predictions
    found = trained.task.scores(predictions, [trained.task.truth(item) for item in validation.items])
    documents = len(validation.document_lengths)
    console.out().print(console.facts("validation", {"documents": documents, **found}))
    return found
