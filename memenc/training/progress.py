"""How training goes: step, loss, tokens per second, time left; and the validation score of every epoch."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from memenc.progress import NowAndThen, TimeLeftColumn, left


class ProgressLine(TrainerCallback):
    """Shows how training goes: on a line that moves, or in a file on one now and then.

    Args:
        tokens_per_epoch: tokens of the training documents, for the speed.
        console: where to write.
    """

    def __init__(self, tokens_per_epoch: int, console: Console | None = None) -> None:
        self.tokens_per_epoch = tokens_per_epoch
        self.console = console or Console(stderr=True)
        self.progress: Progress | None = None
        self.loss = "-"

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the line."""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tokens_per_second]} tokens/s  loss {task.fields[loss]}"),
            TimeLeftColumn(),
        )
        silent = not self.console.is_terminal
        self.progress = Progress(*columns, console=self.console, transient=True, disable=silent)
        nothing_yet = {"tokens_per_second": "-", "loss": "-", "share": None, "told": 0.0}
        self.task = self.progress.add_task("training", total=state.max_steps, **nothing_yet)
        self.progress.start()
        self.lines = NowAndThen(self.console)
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the line."""
        if self.progress is None or not state.max_steps:
            return
        steps, seconds = state.global_step - self.first_step, time.monotonic() - self.started
        epochs = steps / state.max_steps * (state.num_train_epochs or 1)
        speed = f"{epochs * self.tokens_per_epoch / max(1e-9, seconds):,.0f}"
        share = steps / max(1, state.max_steps - self.first_step)
        shown = {"tokens_per_second": speed, "loss": self.loss, "share": share, "told": seconds}
        self.progress.update(self.task, completed=state.global_step, **shown)
        done = f"training: step {state.global_step:,} of {state.max_steps:,}"
        self.lines.tell(done, f"{speed} tokens/s", f"loss {self.loss}", left(share, seconds, seconds))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember the loss; print validation scores."""
        logs = logs or {}
        if "loss" in logs:
            self.loss = f"{float(logs['loss']):.3f}"
        scores = {name.removeprefix("eval_"): value for name, value in logs.items() if name.startswith("eval_")}
        hidden = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
        if scores:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in scores.items() if name not in hidden)
            self.console.print(f"epoch {logs.get('epoch', 0):.2f}  validation {shown}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the line."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
