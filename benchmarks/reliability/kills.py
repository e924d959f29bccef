"""R7: trainings killed at random moments and resumed give the weights of those that were left alone."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.training import Job, run

# It imports once, and every process starts from there.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.reliability.training"])
# A machine that is busy with other work takes its time.
SECONDS = 600.0


def start(job: Job) -> tuple[Any, Any]:
    """A process that trains, and the step at which it is."""
    steps = CONTEXT.Value("i", -1, lock=False)
    process = CONTEXT.Process(target=run, args=(job, steps))
    process.start()
    return process, steps


def finish(job: Job) -> str:
    """Train to the end; the SHA-256 of the weights.

    Raises:
        RuntimeError: the training failed.
    """
    process, _ = start(job)
    process.join(SECONDS)
    if process.exitcode != 0 or job.result is None:
        process.kill()
        raise RuntimeError(f"{job} ended with {process.exitcode}: {job.said[-2000:]}")
    return job.result


def kill_at(job: Job, step: int, wait: float) -> int | None:
    """Kill a training some seconds after a step began; the step it had reached, or None if it was faster."""
    process, steps = start(job)
    end = time.monotonic() + SECONDS
    while steps.value < step and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(wait)
    alive = process.is_alive()
    process.kill()
    process.join()
    return steps.value if alive else None


def killed_and_resumed(kind: str, folder: Path, seed: int, kills: int, steps: int) -> tuple[int, bool]:
    """Kill one training again and again; how often it was hit, and whether its weights are those of an untouched run.

    Args:
        kind: of training, a name in KINDS.
        folder: for both runs.
        seed: of the training and of the moments.
        kills: at most; a training that ended before its moment was not hit.
        steps: of the training; each kill has its share of them.
    """
    generator = random.Random(seed)
    untouched, killed = Job(kind, folder / "untouched", seed), Job(kind, folder / "killed", seed)
    moments = [generator.randrange(steps * number // kills, steps * (number + 1) // kills) for number in range(kills)]
    reached = [kill_at(killed, step, generator.uniform(0.0, 0.08)) for step in moments]
    return sum(step is not None for step in reached), finish(killed) == finish(untouched)
