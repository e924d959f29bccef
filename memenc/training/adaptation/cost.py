"""What training took: trained parameters, time, peak memory."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# In every checkpoint: what the training took until then.
SO_FAR = "cost.json"


@dataclass(frozen=True)
class Cost:
    """Cost of one training.

    Args:
        adapt: name of the way to adapt.
        trained_parameters: numbers that were trained.
        parameters: all numbers of the model while it was trained.
        trained_share: the one by the other.
        seconds: of training, validation included; of a resumed one also those until the checkpoint it went on from.
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
    """Measures a training, through every process that went on with it; `cost` holds the result when it has ended.

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
        """Start to measure, from what the checkpoint says that training goes on from."""
        reset_peak_memory()
        file = checkpoint_of(args, state) / SO_FAR
        found = json.loads(file.read_text(encoding="utf-8")) if state.global_step and file.is_file() else {}
        self.seconds_before, self.peak_before = found.get("seconds", 0.0), found.get("peak_memory_bytes")
        self.started = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write what it took so far into the checkpoint that was just written."""
        # Not as a callback with a state: resuming, the Trainer would put a new one in the place of this one.
        if state.is_world_process_zero:
            so_far = {"seconds": self.seconds(), "peak_memory_bytes": self.peak_memory_bytes()}
            (checkpoint_of(args, state) / SO_FAR).write_text(json.dumps(so_far), encoding="utf-8")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the result."""
        parameters = list(kwargs["model"].parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in parameters)
        self.cost = Cost(self.adapt, trained, total, trained / total, self.seconds(), self.peak_memory_bytes())
        if self.console is not None:
            self.console.print(str(self.cost), highlight=False, soft_wrap=True)

    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.seconds_before + time.monotonic() - self.started

    def peak_memory_bytes(self) -> int | None:
        """The larger peak, of this process or of those before it."""
        return max((peak for peak in (self.peak_before, peak_memory()) if peak is not None), default=None)

    def as_dict(self) -> dict[str, Any] | None:
        """Plain values; None before training has ended."""
        return None if self.cost is None else asdict(self.cost)


def checkpoint_of(args: TrainingArguments, state: TrainerState) -> Path:
    """Folder of the checkpoint of this step."""
    return Path(args.output_dir or "", f"checkpoint-{state.global_step}")


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
