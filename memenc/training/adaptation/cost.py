"""What training took: trained parameters, time, peak memory."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Cost of one training.

    Args:
        adapt: name of the way to adapt.
        trained_parameters: numbers that were trained.
        parameters: all numbers of the model while it was trained.
        trained_share: the one by the other.
        seconds: of training, validation included.
        peak_memory_bytes: most that the device held, or the process on a CPU, with everything that was there before;
            None where nobody tells.
    """

    adapt: str
    trained_parameters: int
    parameters: int
    trained_share: float
    seconds: float
    peak_memory_bytes: int | None

    def __str__(self) -> str:
        peak = "unknown" if self.peak_memory_bytes is None else f"{self.peak_memory_bytes / 1e6:,.0f} MB"
        return (
            f"adapt {self.adapt}: {self.trained_parameters:,} of {self.parameters:,} parameters trained "
            f"({self.trained_share:.2%}), {self.seconds:,.1f} s, peak memory {peak}"
        )


class CostCallback(TrainerCallback):
    """Measures a training; `cost` holds the result when it has ended.

    Args:
        adapt: name of the way to adapt.
        console: where to say it; None says nothing.
    """

    def __init__(self, adapt: str, console: Console | None = None) -> None:
        self.adapt, self.console = adapt, console
        self.cost: Cost | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start to measure."""
        reset_peak_memory()
        self.started = time.monotonic()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the result."""
        parameters = list(kwargs["model"].parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in parameters)
        seconds = time.monotonic() - self.started
        self.cost = Cost(self.adapt, trained, total, trained / total, seconds, peak_memory())
        if self.console is not None:
            self.console.print(str(self.cost), highlight=False, soft_wrap=True)

    def as_dict(self) -> dict[str, Any] | None:
        """Plain values; None before training has ended."""
        return None if self.cost is None else asdict(self.cost)


def reset_peak_memory() -> None:
    """Forget the peak so far, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        CLEAR.write_text("5")
    except OSError:
        return


def peak_memory() -> int | None:
    """Most bytes since the reset: of tensors on the graphics card, else resident bytes of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
