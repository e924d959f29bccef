"""Registers, spills and shared memory of every shipped kernel: ``python -m memenc_kernels.report [--everyday]``."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import track
from rich.table import Table

from memenc_kernels.ahead import Compiled, compile_all, work
from memenc_kernels.dispatch import FUNCTIONS


def table(compiled: list[Compiled]) -> Table:
    """One line per kernel, configuration and architecture."""
    shown = Table(title="kernels, compiled ahead of time", title_justify="left")
    shown.add_column("kernel", no_wrap=True)
    shown.add_column("for")
    for column in ("registers", "spilled", "shared memory"):
        shown.add_column(column, justify="right")
    shown.add_column("")
    for each in compiled:
        verdict = f"[red]{'; '.join(each.faults)}[/red]" if each.faults else "[green]good[/green]"
        numbers = (f"{each.registers}", f"{each.spilled}", f"{each.shared_memory:,}")
        shown.add_row(each.name, each.architecture, *numbers, verdict)
    return shown


def main() -> int:
    """Compile, print, and return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--everyday", action="store_true", help="only what the ordinary tests compile")
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=FUNCTIONS)
    arguments = parser.parse_args()
    # Where nobody says how wide the page is, names and numbers must fit.
    console = Console(width=None if sys.stdout.isatty() else 140)
    wanted = work(arguments.everyday, arguments.functions)
    shown = track(compile_all(wanted), "compiling for every architecture", len(wanted), console=Console(stderr=True))
    compiled = list(shown)
    console.print(table(compiled))
    return int(any(each.faults for each in compiled))


if __name__ == "__main__":
    sys.exit(main())
