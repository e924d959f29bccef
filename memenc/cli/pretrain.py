"""`memenc pretrain`: let memory learn from documents without labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.cli import console, options
from memenc.cli.outputs import check_output_folder
from memenc.cli.runs import check_checkpoints, digest_of, hint_when_stopped, show_scores, start_run
from memenc.cli.spread import spread
from memenc.data.report import corpus_report
from memenc.data.tokens import tokenizer_to_save
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.estimator import DEFAULT_BACKBONE
from memenc.lockstep import is_first_process
from memenc.saved import CHECKPOINTS, require_model
from memenc.storage.files import whole_folder
from memenc.storage.results import plain, write_results
from memenc.tasks import MemencForMaskedLM
from memenc.training.adaptation.cost import CostCallback
from memenc.training.documents import TokenizedDocuments
from memenc.training.pretrain import MaskedTokens, PretrainingSettings
from memenc.training.run import fine_tune, scored
from memenc.training.splits import split_validation
from memenc.training.tasks import Examples


@dataclass(frozen=True)
class HeldOutOptions:
    """Documents that say how well masked tokens are predicted, with the same masks every time; they choose the epoch.

    Args:
        validation: such documents.
        validation_share: share of --data that is held out, where there is no --validation; 0 for none.
        validation_split: which split of --validation is held out, or of --data if there is no --validation.
    """

    validation: str | None = None
    validation_share: float = 0.05
    validation_split: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"--validation-share {self.validation_share}: give a share of at least 0 and below 1")


@spread
def pretrain(
    documents: Annotated[options.TextOptions, options.DATA],
    held_out: Annotated[HeldOutOptions, options.DATA],
    model: Annotated[options.ModelOptions, options.MODEL],
    settings: Annotated[PretrainingSettings, options.TRAINING],
    output: Annotated[Path, typer.Option(help="Folder for the model, its checkpoints and results.")],
    backbone: Annotated[
        str, typer.Option(help="Hugging Face encoder: name or folder.", rich_help_panel=options.MODEL)
    ] = DEFAULT_BACKBONE,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Predict masked tokens of documents without labels; then memenc train --backbone OUTPUT."""
    chosen = options.chosen_device(device)
    check_output_folder(output)
    require_model(backbone)
    check_checkpoints(output / CHECKPOINTS, resume, overwrite)
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    made = MemencForMaskedLM.from_backbone(
        backbone, model.memory, model.memory_options, tokenizer=tokenizer, **model.model_options
    )
    made.to(chosen)  # pyright: ignore[reportArgumentType] transformers hides the signature
    objective = MaskedTokens(tokenizer, settings.mask_share)
    training, aside = corpus_of(documents, held_out, tokenizer, settings.seed)
    report = corpus_report(training.lengths)
    for line in report.lines():
        console.note(line)
    run = {"backbone": backbone, "model": asdict(model), "settings": asdict(settings), "corpus": asdict(report)}
    run |= {"training_content": digest_of(training), "validation_content": digest_of(aside)}
    if is_first_process():
        start_run(output / CHECKPOINTS, plain(run), resume)
    validation = None if aside is None else objective.fixed(aside, settings.seed)
    before = None if validation is None else scores_before(made, objective, validation)
    cost = CostCallback(settings.adapt, console.err())
    with hint_when_stopped():
        log = fine_tune(
            made,
            objective,
            training,
            validation,
            settings.as_training(),
            output / CHECKPOINTS,
            resume,
            device=chosen.type,
            callbacks=[*LivenessCallback.watching(made, training.token_ids), cost],
        )
    if not is_first_process():
        return
    with whole_folder(output) as folder:
        made.save_pretrained(folder)
        tokenizer_to_save(tokenizer).save_pretrained(folder)
    after = None if validation is None else show_scores(made, objective, validation)
    facts = {"options": asdict(documents) | asdict(held_out), **run, "validation": {"before": before, "after": after}}
    write_results(output / "results", log, seed=settings.seed, **facts, adaptation=cost.as_dict())
    console.note(f"saved to {output}; next: memenc train --backbone {output} with the same --memory and its options")


def scores_before(model: MemencForMaskedLM, objective: MaskedTokens, validation: Examples) -> dict[str, float]:
    """Scores on the validation documents before any training, said aloud and as plain values."""
    found = scored(model, objective, validation)
    console.note(f"before training: validation loss {found['loss']:.3f}  perplexity {found['perplexity']:.1f}")
    return found


def corpus_of(
    documents: options.TextOptions, held_out: HeldOutOptions, tokenizer: PreTrainedTokenizerBase, seed: int
) -> tuple[TokenizedDocuments, TokenizedDocuments | None]:
    """Documents to train on and those held out, without the empty ones."""
    training = with_text(documents, tokenizer)
    if held_out.validation is not None or held_out.validation_split is not None:
        source = held_out.validation or documents.data
        delimiter = options.delimiter_of(source, documents.delimiter)
        other = replace(documents, data=source, split=held_out.validation_split, delimiter=delimiter)
        return training, with_text(other, tokenizer)
    return split_validation(training, held_out.validation_share, seed)


def with_text(documents: options.TextOptions, tokenizer: PreTrainedTokenizerBase) -> TokenizedDocuments:
    """The documents of a source that have tokens.

    Raises:
        ValueError: there are none.
    """
    reader = documents.records()
    read = TokenizedDocuments.from_texts((record.text for record in reader), tokenizer, show_progress=True)
    console.note_problems(reader.problems)
    filled = read.subset([index for index, length in enumerate(read.lengths) if length])
    if len(filled) == 0:
        raise ValueError(f"{documents.data} holds no documents with text")
    return filled
