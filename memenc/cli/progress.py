"""While documents are read: how many, how fast, and how long it takes, on a line that moves or on one now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from memenc.cli.console import err
from memenc.progress import NowAndThen, TimeLeftColumn, left


class DocumentProgress:
    """What was read so far, on a line that moves, or in a file on one now and then; it fails no one, whatever comes.

    Args:
        description: of what is done.
        console: where the line stands.
        clock: seconds; None takes the console's.
    """

    def __init__(self, description: str, console: Console, clock: Callable[[], float] | None = None) -> None:
        columns = (
            SpinnerColumn(),
            # Names of files may have brackets.
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[read]}", markup=False),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TimeLeftColumn(table_column=Column(no_wrap=True)),
        )
        # Written to a file, a line that moves would leave empty lines behind.
        self.line = Progress(*columns, console=console, transient=True, disable=not console.is_terminal, get_time=clock)
        self.task = self.line.add_task(description, total=None, read="", share=None, told=0.0)
        self.description, self.lines = description, NowAndThen(console, self.line.get_time)
        self.documents = self.tokens = self.passed_over = 0

    def advance(self, documents: int = 0, tokens: int = 0, share: float | None = None) -> None:
        """Move on by what was read.

        Args:
            documents: more documents.
            tokens: more tokens.
            share: of the whole that was read until now, from 0 to 1; None where nobody knows.
        """
        self.documents += documents
        self.tokens += tokens
        with suppress(Exception):
            seconds = self._seconds()
            read = said(self.documents, self.tokens, self.tokens - self.passed_over, seconds)
            whole = None if share is None else 1.0
            self.line.update(self.task, total=whole, completed=share, read=read, share=share, told=seconds)
            self.lines.tell(f"{self.description}:", read, left(share, seconds, seconds))

    def pass_over(self, tokens: int) -> None:
        """Count tokens that were read before this line was there: they say nothing of the speed."""
        self.passed_over += tokens
        self.advance(tokens=tokens)

    def _seconds(self) -> float:
        return self.line.tasks[0].elapsed or 0.0


def said(documents: int, tokens: int, timed: int, seconds: float) -> str:
    """Documents, or tokens where those are not counted, and tokens a second of those read in so many seconds."""
    speed = round(timed / seconds) if seconds > 0 else 0
    found = {"documents": documents, "tokens": 0 if documents else tokens, "tokens/s": speed}
    return " ".join(f"{value:,} {unit}" for unit, value in found.items() if value)


@contextmanager
def document_progress(description: str = "reading") -> Iterator[DocumentProgress]:
    """Progress on standard error as long as the block lasts."""
    progress = DocumentProgress(description, err())
    with suppress(Exception):
        progress.line.start()
    try:
        yield progress
    finally:
        with suppress(Exception):
            progress.line.stop()
