"""Cells side by side in processes of one thread each; one that dies takes nothing along but its cell."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch

from memenc.comparison.cells import Cell
from memenc.comparison.readers.network import NotRun
from memenc.comparison.store import Outcome
from memenc.memory import MEMORIES, Design

Tell = Callable[[float], None]
Work = Callable[[Cell, Tell], dict[str, Any]]
# Told that a cell is done by this share.
Watch = Callable[[Cell, float], None]
# From one word of a process about its share to the next.
SECONDS_BETWEEN_WORDS = 0.5


@dataclass
class Worker:
    """A process and the cell it works on."""

    process: SpawnProcess
    pipe: Connection
    cell: Cell | None = None

    def give(self, cell: Cell | None) -> None:
        """Hand over a cell; None lets it go home."""
        self.cell = cell
        self.pipe.send(cell)


def attempt(work: Work, cell: Cell, tell: Tell) -> Outcome:
    """Work on a cell; what goes wrong is an outcome too."""
    try:
        return Outcome("done", work(cell, tell))
    except NotRun as reason:
        return Outcome("not run", {}, str(reason))
    except Exception as error:
        found = "".join(traceback.format_exception(error)[-3:])
        return Outcome("failed", {"traceback": found}, f"{type(error).__name__}: {error}")


def run_here(cells: Sequence[Cell], work: Work, watch: Watch) -> Generator[tuple[Cell, Outcome], None, None]:
    """One after the other in this process."""
    for cell in cells:
        yield cell, attempt(work, cell, lambda share, cell=cell: watch(cell, share))


def run_beside(
    cells: Sequence[Cell], work: Work, workers: int, watch: Watch
) -> Generator[tuple[Cell, Outcome], None, None]:
    """In several processes, each cell as soon as it is finished.

    Args:
        cells: in the order in which they are begun.
        work: a function that other processes can import.
        workers: processes.
        watch: is told how far cells are.
    """
    waiting, busy = list(reversed(cells)), []
    try:
        busy = [hired(work, waiting.pop()) for _ in range(min(workers, len(waiting)))]
        while busy:
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                said = heard(worker)
                assert worker.cell is not None
                if not isinstance(said, Outcome):
                    watch(worker.cell, said)
                    continue
                yield worker.cell, said
                busy.remove(worker)
                if waiting:
                    busy.append(next_of(worker, work, waiting.pop()))
                else:
                    dismissed(worker)
    finally:
        for worker in busy:
            worker.process.kill()
            worker.process.join()


def hired(work: Work, cell: Cell) -> Worker:
    """A new process with its first cell."""
    # A forked process would inherit threads of torch that are not there any more.
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    # Those of a notebook are in no module that another process could import; no cell has them.
    memories = {name: design for name, design in MEMORIES.items() if design.source is not None}
    worker = Worker(context.Process(target=serve, args=(other, work, memories), daemon=True), pipe)
    worker.process.start()
    # Without this the end of the process would not be the end of the pipe.
    other.close()
    worker.give(cell)
    return worker


def next_of(worker: Worker, work: Work, cell: Cell) -> Worker:
    """The worker with its next cell, or another in its place if it is dead."""
    try:
        worker.give(cell)
    except OSError:
        worker.process.join()
        return hired(work, cell)
    return worker


def dismissed(worker: Worker) -> None:
    """Let a worker go home."""
    with contextlib.suppress(OSError):
        worker.give(None)
    worker.process.join(timeout=10)
    worker.process.kill()


def heard(worker: Worker) -> float | Outcome:
    """How far it is, or what became of its cell."""
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        reason = f"its process died with exit code {worker.process.exitcode}; was there memory enough?"
        return Outcome("failed", {}, reason)


def serve(pipe: Connection, work: Work, memories: Mapping[str, Design] | None = None) -> None:
    """What a process does: cell after cell, until there is none; it knows the memories that its parent knows."""
    MEMORIES.update(memories or {})
    # Whoever stops the comparison stops the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError):
        while (cell := pipe.recv()) is not None:
            pipe.send(attempt(work, cell, now_and_then(pipe.send)))


def _leave_with_parent() -> None:
    """A process that was killed cannot dismiss its workers; they would go on for nobody until their cell is done."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def now_and_then(tell: Tell) -> Tell:
    """Tell the share that is done, but not at every step."""
    last = time.monotonic()

    def tell_rarely(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_WORDS:
            last = time.monotonic()
            tell(share)

    return tell_rarely
