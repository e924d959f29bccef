"""Time and memory of a call, and the floors of a device: how fast it multiplies and copies."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

MILLISECONDS = {"cuda": 100.0, "cpu": 20.0}
MOST_TIMES = 100


class Timing(NamedTuple):
    """Median and interquartile range (ms), time the first call took longer (s), largest memory in use (bytes)."""

    median: float
    spread: float
    compiled: float
    peak: int | None

    def columns(self) -> dict[str, Any]:
        return {
            "median_ms": round(self.median, 5),
            "spread_ms": round(self.spread, 5),
            "compile_seconds": round(self.compiled, 2),
            "peak_memory_mb": "" if self.peak is None else round(self.peak / 2**20),
        }


class Work(NamedTuple):
    """What must be done at least: floating-point operations, and bytes to read and to write."""

    flops: float
    bytes: float


class Floors(NamedTuple):
    """Measured speeds: operations and bytes per second."""

    flops: float
    bandwidth: float

    def milliseconds(self, work: Work) -> float:
        return 1e3 * max(work.flops / self.flops, work.bytes / self.bandwidth)

    def columns(self, work: Work, median: float) -> dict[str, float]:
        """How near a time (ms) is to the floor, and the speeds it means."""
        floor = self.milliseconds(work)
        return {
            "floor_ms": round(floor, 5),
            "share_of_floor": round(floor / median, 4),
            "tflops": round(work.flops / median / 1e9, 2),
            "gb_per_second": round(work.bytes / median / 1e6, 1),
        }


def timed(call: Callable[[], Any], device: str) -> Timing:
    """Median time after warm-up; on a GPU the L2 cache is cleared before every call, so that it does not flatter."""
    first = seconds(call, device)
    if device == "cpu":
        measured = Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=MILLISECONDS[device] / 1e3)
        return Timing(1e3 * measured.median, 1e3 * measured.iqr, max(0.0, first - measured.median), None)
    from triton.testing import do_bench

    # Gradients that a call before left behind are no part of this one.
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    times = do_bench(call, warmup=25, rep=MILLISECONDS[device], return_mode="all")
    median = statistics.median(times)
    quarters = statistics.quantiles(times, n=4) if len(times) > 1 else (median, median, median)
    return Timing(median, quarters[2] - quarters[0], max(0.0, first - median / 1e3), peak)


def timed_in_wall_seconds(call: Callable[[], Any], device: str, count: int = 3) -> Timing:
    """The same for calls of many kernels, which the L2 cache does not flatter and Python may slow down."""
    first = seconds(call, device)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    times = [1e3 * seconds(call, device) for _ in range(count)]
    while sum(times) < 3 * MILLISECONDS[device] and len(times) < MOST_TIMES:
        times.append(1e3 * seconds(call, device))
    median = statistics.median(times)
    quarters = statistics.quantiles(times, n=4)
    peak = None if device == "cpu" else torch.cuda.max_memory_allocated()
    return Timing(median, quarters[2] - quarters[0], max(0.0, first - median / 1e3), peak)


def seconds(call: Callable[[], Any], device: str) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def timed_forward(call: Callable[[], Any], device: str) -> Timing:
    with torch.no_grad():
        return timed(call, device)


def timed_backward(call: Callable[[], Any], wanted: list[Tensor], device: str) -> Timing:
    """The backward pass alone, for random gradients of every result."""
    for tensor in wanted:
        tensor.requires_grad_()
    started = time.perf_counter()
    found = call()
    outputs = [x for x in (found if isinstance(found, tuple) else (found,)) if x.requires_grad]
    forward = time.perf_counter() - started
    gradients = [torch.randn_like(x) for x in outputs]

    def backward() -> Any:
        found = torch.autograd.grad(outputs, wanted, gradients, retain_graph=True, allow_unused=True)
        # A gradient that is one number seen many times has not been written yet.
        return [x.contiguous() if x is not None and 0 in x.stride() else x for x in found]

    timing = timed(backward, device)
    return timing._replace(compiled=timing.compiled + forward)


@functools.cache
def floors(device: str, dtype: torch.dtype) -> Floors:
    """Speed of one large matrix product and of one large copy, measured now."""
    size, count = (8_192, 2**29) if device == "cuda" else (512, 2**22)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.randn(count, device=device, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    product = timed_forward(lambda: left @ right, device).median
    copy = timed_forward(lambda: target.copy_(source), device).median
    return Floors(2 * size**3 / product * 1e3, 2 * source.nbytes / copy * 1e3)


def error_of(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference by norm."""
    found, wanted = found.float(), wanted.float()
    return float(f"{float((found - wanted).norm() / wanted.norm()):.2e}")


def joined(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of several parts; their notes one behind the other."""
    notes = [str(part["note"]) for part in parts if part.get("note")]
    return {name: value for part in parts for name, value in part.items()} | {"note": "; ".join(notes)}
