"""Tokens per second and peak memory of whole encoders: with a memory, by schedule, and beside plain transformers.

    python benchmarks/encoder_speed.py                                 # a GPU: the essential rows in about five minutes
    python benchmarks/encoder_speed.py --budget-seconds 3600           # go on with the rest
    python benchmarks/encoder_speed.py --device cpu --tokens 1024 --output /tmp/encoders.csv   # does it run? (tiny)

Random weights in the sizes of BERT-base, ModernBERT-base and Longformer-base, bfloat16. A training step is forward,
backward and AdamW; "replay" computes activations again, one group of segments at a time. Plain backbones read rows of
the length they are made for, or of the whole document. Rows are appended as they are finished and skipped when they are
there, the most important first; a row that fails, out of memory for one, says why. The rows over segments per call are
what TOKENS_PER_CALL in memenc/encoder/schedule.py is chosen by.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table as Shown
from speed import encoders
from speed.encoders import MEMORIES, SEGMENT, Reading
from speed.measure import joined, timed_in_wall_seconds
from speed.problem import require_triton
from speed.table import Job, NotRun, Table, deadline_in, run

RESULTS = Path(__file__).parent / "results"
KEY = ("backbone", "memory", "implementation", "mode", "batch", "tokens", "segments_per_call", "row_tokens")
MEASURED = ("median_ms", "spread_ms", "tokens_per_second", "peak_memory_mb", "compile_seconds", "note")
PER_CALL = (1, 8, 32, 128, 256)
# Modes of a reading, each a function that makes the call to time.
MODES: Mapping[str, Callable[[Reading], Callable[[], Any]]] = {
    "forward": encoders.forward,
    "training step": lambda reading: encoders.training_step(reading, replay=False),
    "training step, replay": lambda reading: encoders.training_step(reading, replay=True),
    "streaming call": encoders.streaming_call,
    "streaming step": encoders.encoder_step,
    "streaming step, CUDA graph": encoders.graphed_step,
}


def all_jobs(device: str, tokens: int) -> Iterator[Job]:
    """The most important first: cost of memory, segments per call, plain transformers, training, then the rest."""
    start = Reading("bert", "compressive", implementations(device)[0], 1, tokens, "auto", device)
    yield from by_memory(start, "forward")
    for memory in ("compressive", "none"):
        for count in PER_CALL:
            yield job(replace(start, memory=memory, segments_per_call=count), "forward")
    yield from plain(start, "forward")
    yield from streaming(start)
    for memory in ("compressive", "none"):
        for mode in ("training step", "training step, replay"):
            yield job(replace(start, memory=memory), mode)
    yield from by_memory(replace(start, backbone="modernbert"), "forward")
    yield job(replace(start, implementation="torch"), "forward")
    yield from full_attention(start)
    for batch in (1, 8) if device == "cuda" else (1,):
        yield from remaining(replace(start, batch=batch))


def implementations(device: str) -> tuple[str, ...]:
    return ("triton", "torch") if device == "cuda" else ("torch",)


def remaining(start: Reading) -> Iterator[Job]:
    """Every memory in both implementations, both backbones, forward and training."""
    for mode in ("forward", "training step", "training step, replay"):
        for backbone in ("bert", "modernbert"):
            for implementation in implementations(start.device):
                yield from by_memory(replace(start, backbone=backbone, implementation=implementation), mode)
        if mode != "training step, replay":
            yield from plain(start, mode)
    for memory in ("compressive", "linear"):
        for count in PER_CALL:
            yield job(replace(start, memory=memory, segments_per_call=count), "forward")
    yield from streaming(start)


def by_memory(start: Reading, mode: str) -> Iterator[Job]:
    for memory in MEMORIES[start.device]:
        yield job(replace(start, memory=memory), mode)


def plain(start: Reading, mode: str) -> Iterator[Job]:
    """Backbones of transformers on rows of their own length."""
    lengths = {"bert": 512, "modernbert": 8_192, "longformer": 4_096}
    for backbone, length in lengths.items():
        yield job(_plain(start, backbone, min(length, start.tokens)), mode)


def full_attention(start: Reading) -> Iterator[Job]:
    """BERT with positions for the whole document, or for the largest part of it that fits."""
    for mode in ("forward", "training step"):
        yield job(_plain(start, "bert", start.tokens), mode, halves=4)


def streaming(start: Reading) -> Iterator[Job]:
    one = replace(start, tokens=SEGMENT[start.device], segments_per_call=1)
    for mode in ("streaming call", "streaming step", "streaming step, CUDA graph"):
        yield job(one, mode)


def _plain(start: Reading, backbone: str, row_tokens: int) -> Reading:
    options = {"implementation": "torch", "segments_per_call": "", "row_tokens": row_tokens}
    return replace(start, backbone=backbone, memory="plain", **options)


def job(reading: Reading, mode: str, halves: int = 0) -> Job:
    """One row; documents of half the length are tried so many times if memory is short."""
    name = {column: mode if column == "mode" else getattr(reading, column) for column in KEY}
    return Job(name, lambda: measured(reading, mode, halves))


def measured(reading: Reading, mode: str, halves: int) -> Mapping[str, Any]:
    if reading.implementation == "triton":
        require_triton(reading.device)
    if mode.endswith("CUDA graph") and reading.device == "cpu":
        raise NotRun("CUDA graphs need a GPU")
    try:
        timing = timed_in_wall_seconds(MODES[mode](reading), reading.device)
    except torch.OutOfMemoryError:
        if not halves:
            raise
        shorter = replace(reading, tokens=reading.tokens // 2, row_tokens=reading.row_tokens // 2)
    else:
        speed = round(reading.batch * reading.tokens / timing.median * 1e3)
        return joined(timing.columns(), {"tokens_per_second": speed})
    # Outside of the handler, which would keep the memory of what failed.
    torch.cuda.empty_cache()
    return joined({"note": f"only {shorter.tokens} tokens fit"}, measured(shorter, mode, halves - 1))


def show(table: Table) -> None:
    """What was measured, shortly: times as multiples of `none` read in the same way."""
    medians = {tuple(row[column] for column in KEY): row["median_ms"] for row in table.rows}
    shown = Shown("backbone", "memory", "by", "mode", "size", "per call", "ms", "x none", "tokens/s", "MiB", "note")
    for row in table.shown():
        none = medians.get(tuple("none" if column == "memory" else row[column] for column in KEY))
        multiple = f"{float(row['median_ms']) / float(none):.2f}" if none and row["median_ms"] else ""
        cells = [row[column] for column in ("median_ms", "tokens_per_second", "peak_memory_mb", "note")]
        per_call = row["segments_per_call"] or f"rows of {row['row_tokens']}"
        shown.add_row(*(row[column] for column in KEY[:4]), f"{row['batch']} x {row['tokens']}", per_call, cells[0],
                      multiple, *cells[1:])  # fmt: skip
    Console(width=180).print(shown)
    print(*table.not_run(), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--tokens", type=int, default=131_072)
    parser.add_argument("--budget-seconds", type=float, default=300)
    parser.add_argument("--retry", action="store_true", help="rows that failed or did not run are tried again")
    parser.add_argument("--output", type=Path, help="CSV file; results/encoders_<device>.csv if left out")
    arguments = parser.parse_args()
    deadline = deadline_in(arguments.budget_seconds)
    output = arguments.output or RESULTS / f"encoders_{arguments.device}.csv"
    table = Table(output, KEY, MEASURED, arguments.retry)
    # Jobs that come up twice are one row.
    jobs = {tuple(each.name.values()): each for each in reversed(list(all_jobs(arguments.device, arguments.tokens)))}
    left = run(table, reversed(jobs.values()), deadline)
    show(table)
    more = f", {left} left: run again, or raise --budget-seconds" if left else ""
    print(f"{output}: {len(table.rows)} rows{more}")


if __name__ == "__main__":
    main()
