"""How far long work is: how much time it still takes, and a line now and then where none can move."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

# Between two lines in a file, where nothing moves.
SECONDS_BETWEEN_LINES = 60.0


class NowAndThen:
    """Says how far work is where no line can move, in a file or the log of a cluster.

    Args:
        console: where to.
        clock: seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock, self.spoke = console, clock, clock()

    def tell(self, *words: str) -> None:
        """Say it if nothing was said for a minute; nothing on a terminal, which has a line that moves."""
        if not self.console.is_terminal and self.clock() - self.spoke >= SECONDS_BETWEEN_LINES:
            self.say(*words)

    def say(self, *words: str) -> None:
        """Say it now, wherever."""
        self.spoke = self.clock()
        self.console.print("  ".join(filter(None, words)), highlight=False, markup=False, soft_wrap=True)


class TimeLeftColumn(ProgressColumn):
    """The time left, where a task says in its fields `share` how much is done, and in `told` (seconds) since when."""

    def render(self, task: Task) -> Text:
        """Hours, minutes and seconds, or nothing."""
        return Text(left(task.fields["share"], task.fields["told"], task.elapsed or 0.0), style="progress.remaining")


def left(share: float | None, told: float, now: float) -> str:
    """The time left in words, as `time_left` estimates it; nothing if nobody knows."""
    seconds = time_left(share, told, now)
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"


def time_left(share: float | None, told: float, now: float) -> float | None:
    """Seconds left at the same pace if a share was done after `told` seconds and it is `now`; None if nobody knows."""
    if not share or told <= 0:
        return None
    return max(0.0, told / share - now)
