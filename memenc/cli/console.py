"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memenc.lockstep import is_first_process

PROBLEMS_SHOWN = 20


def out() -> Console:
    """Standard output, of the first process where several train together."""
    return Console(quiet=not is_first_process())


def err() -> Console:
    """Standard error, of the first process too: what stops another one is no message but an exception."""
    return Console(stderr=True, quiet=not is_first_process())


def note(message: str, style: str = "") -> None:
    """Say something beside the results, unwrapped and exactly as it is."""
    err().print(Text(message, style=style), soft_wrap=True)


def note_problems(problems: Sequence[str]) -> None:
    """Name the records that were left out."""
    for problem in problems[:PROBLEMS_SHOWN]:
        note(f"left out: {problem}", style="yellow")
    if len(problems) > PROBLEMS_SHOWN:
        note(f"left out: {len(problems) - PROBLEMS_SHOWN:,} more", style="yellow")


def facts(title: str, found: Mapping[str, Any]) -> Table:
    """Names and values as a table."""
    made = Table(title=title, title_justify="left", show_header=False)
    made.add_column()
    made.add_column(justify="right")
    for name, value in found.items():
        made.add_row(name.replace("_", " "), shown(value))
    return made


def shown(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
