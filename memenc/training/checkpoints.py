"""Checkpoints that a kill or a bad disk cannot spoil unnoticed: sealed when complete, checked before they are used."""

from __future__ import annotations

import json
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from memenc.storage.files import check_sealed, checksums, seal

# The Trainer writes it last, so that checksums which name it were written when all was there.
STATE_FILE = "trainer_state.json"


@final
class SealedCheckpoints(TrainerCallback):
    """Writes the SHA-256 of every file of a checkpoint into it, after all of them were written: the last callback."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint that was just written."""
        if distributed.is_initialized():
            # Every process writes a file of its own.
            distributed.barrier()
        if state.is_world_process_zero:
            seal(Path(args.output_dir or "", f"checkpoint-{state.global_step}"))


@final
class BestInItsFolder(TrainerCallback):
    """Looks for the best checkpoint of a resumed run where the run is now, which may have been moved since."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Correct the path, which the Trainer kept as it was given to the command of before."""
        if not state.best_global_step:
            return
        here = Path(args.output_dir or "", f"checkpoint-{state.best_global_step}")
        if here.is_dir():
            state.best_model_checkpoint = str(here)
        elif state.best_model_checkpoint is None:
            warnings.warn(f"the best checkpoint, {here}, is gone: only later epochs are compared", stacklevel=2)


@final
class SaveEvery(TrainerCallback):
    """Asks for a checkpoint every so many steps, beside those that the Trainer writes by itself.

    Args:
        steps: optimiser steps between two checkpoints.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps={steps}: give at least 1")
        self.steps = steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask, but not at the end of an epoch: resumed from before its evaluation, a run would never make up for it."""
        if state.global_step % self.steps == 0 and float(state.epoch or 0.5) % 1:
            control.should_save = True


@final
class FiniteGradients(TrainerCallback):
    """Stops a training whose gradient is not finite, before it spoils the weights and then the checkpoints.

    Raises:
        ValueError: at such a step.
    """

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at every gradient."""
        gradients = [value.grad for value in kwargs["model"].parameters() if value.grad is not None]
        if not all(torch.stack([gradient.isfinite().all() for gradient in gradients])):
            raise ValueError(
                f"the gradient of step {state.global_step + 1} is not finite: training stops before it spoils the "
                "weights. Go on from the last checkpoint with lower learning rates, or without bf16"
            )


def check_checkpoint(folder: Path) -> None:
    """Make sure that a checkpoint is what the Trainer wrote, all of it.

    Raises:
        ValueError: it is not: cut short, damaged, or from before checkpoints were sealed.
    """
    check_sealed(folder)
    if STATE_FILE not in checksums(folder):
        raise ValueError(f"{folder} is not complete: its checksums do not name {STATE_FILE}")


def newest_whole(output: Path) -> Path | None:
    """The newest checkpoint in a folder that is whole; newer ones are named in a warning and set aside.

    Left where they were, they would count as the newest, and the Trainer would delete its own ones as too old.
    """
    folders = sorted(output.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    for number, folder in enumerate(folders):
        try:
            check_checkpoint(folder)
        except ValueError as error:
            last = number == len(folders) - 1
            then = "no other is left: starting from the beginning" if last else "going on from the one before"
            aside = folder.with_name(f"damaged-{folder.name}-{uuid.uuid4().hex[:8]}")
            # Another process of the same run may have been first.
            with suppress(FileNotFoundError):
                folder.rename(aside)
            warnings.warn(f"{folder} is not whole ({error}), now {aside.name}; {then}", stacklevel=2)
            continue
        return folder
    return None


def epochs_if_stopped(checkpoint: Path) -> float | None:
    """Epochs after which the run of a checkpoint stopped early, None if it was to go on."""
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    stopped = state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return state["epoch"] if stopped and state["global_step"] < state["max_steps"] else None
