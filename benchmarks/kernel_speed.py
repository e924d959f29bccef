"""How fast the kernels are, against floors measured beside them and against what else could do the work.

    python benchmarks/kernel_speed.py                                  # a GPU: the essential rows in about five minutes
    python benchmarks/kernel_speed.py --budget-seconds 3600            # go on with the rest
    python benchmarks/kernel_speed.py --device cpu --tokens 1024 --output /tmp/kernels.csv   # does it run?

Rows are appended to the results as they are finished and skipped when they are there, the most important first: memory
attention at 131,072 tokens, the updates, the tests that need a GPU, then compiled references and other sizes. A row
that fails says why. Forward is timed without gradient, backward alone; compilation is no part of a median. The floor of
a row is the longer of its operations at the speed of a large matrix product and its bytes at that of a large copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table as Shown
from speed import tests_on_gpu
from speed.attention import MEMORY_ATTENTION
from speed.measure import error_of, floors, joined, timed_backward, timed_forward
from speed.problem import Function, Problem, Shape
from speed.table import Job, Table, deadline_in, run
from speed.updates import UPDATES

RESULTS = Path(__file__).parent / "results"
KEY = ("function", "implementation", "direction", "batch", "tokens", "heads", "dim", "dtype")
MEASURED = (
    *("median_ms", "spread_ms", "floor_ms", "share_of_floor", "tflops", "gb_per_second", "peak_memory_mb"),
    *("compile_seconds", "error", "note"),
)
LENGTHS = (131_072, 16_384, 1_048_576)
HEADS = ((12, 64), (16, 128))
BATCHES = (1, 8)
# One call's states, in bytes: a backward pass holds about sixteen such tensors, the gathered keys more.
MOST_STATE_BYTES = 5 * 2**30
SMALL = {"segment": 64, "window": 64, "slots": 32}


def shapes(arguments: argparse.Namespace) -> list[Shape]:
    """Sizes, the most important first."""
    dtype = torch.bfloat16 if arguments.device == "cuda" else torch.float32
    parts = SMALL if arguments.device == "cpu" else {}
    sizes = ((batch, heads) for heads in HEADS for batch in BATCHES)
    if arguments.device == "cpu":
        sizes = [(1, (2, 16))]
    lengths = arguments.tokens or LENGTHS
    return [
        Shape(batch, tokens, *heads, dtype, arguments.device, **parts) for batch, heads in sizes for tokens in lengths
    ]


def all_jobs(arguments: argparse.Namespace, deadline: float) -> Iterator[Job]:
    first, *others = shapes(arguments)
    functions = (MEMORY_ATTENTION, *UPDATES)
    yield from floor_jobs(first)
    yield from function_jobs(MEMORY_ATTENTION, first, _is_essential)
    for function in UPDATES:
        yield from function_jobs(function, first, _is_essential)
    yield from tests_on_gpu.jobs(KEY, arguments.device, deadline)
    for function in functions:
        yield from function_jobs(function, first, lambda name: not _is_essential(name))
    for shape in others:
        for function in functions:
            yield from function_jobs(function, shape, _is_essential)
    for shape in others:
        for function in functions:
            yield from function_jobs(function, shape, lambda name: not _is_essential(name))


def _is_essential(implementation: str) -> bool:
    return implementation in ("triton", "torch", "flex", "sdpa flash", "sdpa cudnn", "triton, bias and validity")


def function_jobs(function: Function, shape: Shape, chosen: Callable[[str], bool]) -> Iterator[Job]:
    """Rows of one function and one size."""
    for implementation in filter(chosen, function.implementations):
        for direction in function.work:
            name = {"function": function.name, "implementation": implementation, "direction": direction}
            job = (function, implementation, direction, shape)
            yield Job(name | shape.columns(), lambda job=job: measured(*job))


def measured(function: Function, implementation: str, direction: str, shape: Shape) -> Mapping[str, Any]:
    """The measured columns of one row."""
    calls, part = shape.in_calls(MOST_STATE_BYTES) if shape.device == "cuda" else (1, shape)
    torch.manual_seed(0)
    problem = function.implementations[implementation](part)
    error: dict[str, Any] = {}
    if direction == "forward":
        error = compared(function, implementation, part, problem)
        timing = timed_forward(problem.call, part.device)
    else:
        timing = timed_backward(problem.call, problem.wanted, part.device)
    timing = timing._replace(median=calls * timing.median, spread=calls * timing.spread)
    speeds = floors(shape.device, shape.dtype).columns(function.work[direction](shape), timing.median)
    note = {"note": f"{calls} calls of {part.tokens} tokens, time of one multiplied" if calls > 1 else ""}
    return joined(timing.columns(), speeds, error, note, {"note": problem.note})


@torch.no_grad()
def compared(function: Function, implementation: str, shape: Shape, problem: Problem) -> dict[str, Any]:
    """How far the result is from the torch reference on the same numbers, up to what fits beside it in memory."""
    if implementation == "torch" or shape.state_bytes > 2**31:
        return {}
    found = problem.compared(problem.call())
    if not found.numel():
        return {}
    torch.manual_seed(0)
    try:
        reference = function.implementations["torch"](shape)
        return {"error": error_of(found, reference.compared(reference.call()))}
    except Exception as error:  # whatever the reference cannot do is no fault of this row
        return {"note": f"not compared: {type(error).__name__} in the reference"}


def floor_jobs(shape: Shape) -> Iterator[Job]:
    empty = dict.fromkeys(KEY, "") | {"function": "floor", "dtype": shape.columns()["dtype"]}
    found = lambda: floors(shape.device, shape.dtype)  # noqa: E731
    yield Job(empty | {"implementation": "matmul"}, lambda: {"tflops": round(found().flops / 1e12, 2)})
    yield Job(empty | {"implementation": "copy"}, lambda: {"gb_per_second": round(found().bandwidth / 1e9, 1)})


def show(table: Table) -> None:
    """What was measured, shortly: times as multiples of the floor."""
    shown = Shown("function", "implementation", "direction", "size", "ms", "x floor", "error", "note")
    for row in table.shown():
        size = " x ".join(row[column] for column in ("batch", "tokens", "heads", "dim") if row[column])
        multiple = f"{1 / share:.2f}" if (share := float(row["share_of_floor"] or 0)) else ""
        speed = " ".join(f"{row[name]} {name}" for name in ("tflops", "gb_per_second") if row[name])
        note = speed if row["function"] == "floor" else row["note"]
        shown.add_row(*(row[column] for column in KEY[:3]), size, row["median_ms"], multiple, row["error"], note)
    Console(width=160).print(shown)
    print(*table.not_run(), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--tokens", type=int, nargs="+", help=f"lengths; {LENGTHS} if left out")
    parser.add_argument("--budget-seconds", type=float, default=300)
    parser.add_argument("--retry", action="store_true", help="rows that failed or did not run are tried again")
    parser.add_argument("--output", type=Path, help="CSV file; results/kernels_<device>.csv if left out")
    arguments = parser.parse_args()
    deadline = deadline_in(arguments.budget_seconds)
    output = arguments.output or RESULTS / f"kernels_{arguments.device}.csv"
    table = Table(output, KEY, MEASURED, arguments.retry)
    left = run(table, all_jobs(arguments, deadline), deadline)
    show(table)
    print(
        f"{output}: {len(table.rows)} rows" + (f", {left} left: run again, or raise --budget-seconds" if left else "")
    )


if __name__ == "__main__":
    main()
