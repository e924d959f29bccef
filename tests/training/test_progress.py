"""What a training says of itself in a file, where no line can move."""

import io
import re

from rich.console import Console
from transformers import TrainerControl, TrainerState

from memenc import progress
from memenc.training.progress import ProgressLine


def said(monkeypatch, seconds_between, **console):
    """Lines of a training of four steps, of which the first was taken before it was resumed."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", seconds_between)
    file, control = io.StringIO(), TrainerControl()
    line = ProgressLine(1_000, Console(file=file, width=40, **console))
    state = TrainerState(max_steps=4, num_train_epochs=2, global_step=1)
    line.on_train_begin(None, state, control)
    for step in (2, 3, 4):
        state.global_step = step
        line.on_log(None, state, control, {"loss": 1 / step})
        line.on_step_end(None, state, control)
    line.on_train_end(None, state, control)
    return file.getvalue()


def test_a_file_gets_step_speed_loss_and_time_left(monkeypatch):
    lines = said(monkeypatch, 0.0).splitlines()
    for line, step, loss in zip(lines, (2, 3, 4), ("0.500", "0.333", "0.250"), strict=True):
        wanted = rf"training: step {step} of 4  [\d,]+ tokens/s  loss {loss}  \d:\d\d:\d\d left"
        assert re.fullmatch(wanted, line), line


def test_before_a_minute_has_passed_it_gets_none(monkeypatch):
    assert said(monkeypatch, 60.0).strip() == ""


def test_a_terminal_gets_none(monkeypatch):
    assert "step 2 of 4" not in said(monkeypatch, 0.0, force_terminal=True)
