"""`memenc train`: fine-tune a model on documents in a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.cli import console, options
from memenc.cli.corpus import Corpus, CorpusOptions
from memenc.cli.outputs import check_output_folder
from memenc.cli.runs import check_checkpoints, digest_of, hint_when_stopped, show_scores, start_run
from memenc.cli.spread import spread
from memenc.data.report import corpus_report
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.estimator import DEFAULT_BACKBONE, LongDocumentClassifier
from memenc.lockstep import is_first_process
from memenc.pretrained import MemencPreTrainedModel
from memenc.saved import CHECKPOINTS, require_model
from memenc.storage.results import plain, write_results
from memenc.trained import Trained, save_trained
from memenc.training.adaptation import options_for
from memenc.training.adaptation.cost import CostCallback
from memenc.training.class_weights import named_weights, refuse_idle_weights
from memenc.training.run import fine_tune
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import Examples, Task


@spread
def train(
    corpus: Annotated[CorpusOptions, options.DATA],
    model: Annotated[options.ModelOptions, options.MODEL],
    settings: Annotated[TrainingSettings, options.TRAINING],
    output: Annotated[Path, typer.Option(help="Folder for the model, its checkpoints and results.")],
    backbone: Annotated[
        str, typer.Option(help="Hugging Face encoder: name or folder.", rich_help_panel=options.MODEL)
    ] = DEFAULT_BACKBONE,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Fine-tune an encoder with memory on documents of any length."""
    chosen = options.chosen_device(device)
    check_output_folder(output)
    require_model(backbone)
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
    refuse_idle_weights(read.task, settings)
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    trained = Trained(new_model(estimator, tokenizer, read.task), tokenizer, read.task)
    training, validation = read.tokenised(tokenizer, settings.seed, trained.model)
    if validation is not None and len(validation) < read.task.fewest_to_choose_by:
        few = f"{len(validation)} examples are too few to choose the epoch by {read.task.main_score}"
        console.note(f"{few}: give --validation, or a larger --validation-share, or 0 to keep the last epoch", "yellow")
    parameters = estimator.get_params(deep=False)
    run = {"parameters": parameters, "corpus": described(training), **read.task.described()}
    run |= {"problem_type": read.task.model_options().get("problem_type")}
    run |= {"training_content": digest_of(training), "validation_content": digest_of(validation)}
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
    found = None if validation is None else show_scores(trained.model, trained.task, validation)
    facts = {"class_weights": named_weights(read.task, training, settings)}
    facts |= {"options": asdict(corpus), **run, "adaptation": cost.as_dict(), "validation": found}
    write_results(output / "results", log, seed=settings.seed, **facts)
    console.note(f"saved to {output}; next: memenc predict --model {output} --data FILE")


def instructed(instruction: str | None) -> dict[str, Any]:
    """Fields of MemencConfig that an instruction needs."""
    return {} if instruction is None else {"instruction": instruction}


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
