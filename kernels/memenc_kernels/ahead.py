"""Compile kernels ahead of time, without a GPU, and read what the compiler says of registers and memory."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import multiprocessing
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from memenc_kernels.architectures import ARCHITECTURES, Architecture
from memenc_kernels.dispatch import FUNCTIONS


@dataclass(frozen=True)
class Constant:
    """A value that is compiled in: of a constexpr, or None for a tensor that is not there."""

    value: Any


@dataclass(frozen=True)
class Build:
    """One kernel in one shipped configuration, as plain values that travel between processes.

    Args:
        name: for the report, such as ``memory_attention forward bfloat16 64``.
        module: that holds the kernel.
        kernel: its name there.
        signature: type of every argument by name, as triton writes it: ``*bf16``, ``i32``, ``fp32``, with ``:16``
            behind it if the value is divisible by 16, tuples of these, or a `Constant`.
        options: num_warps, num_stages.
        matrix: whether it multiplies matrices, so that Hopper must use its wgmma instructions.
        everyday: whether the ordinary test suite compiles it; the others are left to the slow tests.
    """

    name: str
    module: str
    kernel: str
    signature: Mapping[str, Any]
    options: Mapping[str, int]
    matrix: bool = False
    everyday: bool = False


@dataclass(frozen=True)
class Compiled:
    """What became of a build: registers of a thread, bytes spilled, bytes of shared memory, and the faults found."""

    name: str
    architecture: str
    registers: int
    spilled: int
    shared_memory: int
    faults: tuple[str, ...] = field(default=())


def builds(architecture: Architecture, functions: Iterable[str] = FUNCTIONS) -> Iterator[Build]:
    """Every shipped build of these functions, from ``memenc_kernels.<function>.builds``."""
    for function in functions:
        if importlib.util.find_spec(f"memenc_kernels.{function}.builds") is not None:
            yield from importlib.import_module(f"memenc_kernels.{function}.builds").builds(architecture)


def work(everyday: bool, functions: Iterable[str] = FUNCTIONS) -> list[tuple[Build, Architecture]]:
    """The everyday builds of these functions, or all, each for every architecture."""
    return [
        (build, architecture)
        for architecture in ARCHITECTURES
        for build in builds(architecture, tuple(functions))
        if build.everyday or not everyday
    ]


def compile_all(work: Sequence[tuple[Build, Architecture]]) -> Iterator[Compiled]:
    """Compile in parallel; what was compiled comes in the order of the work, as soon as it is there."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _prepare_worker) as pool:
        yield from pool.map(compile_build, *zip(*work, strict=True)) if work else ()


def compile_build(build: Build, architecture: Architecture) -> Compiled:
    """Compile one build; call it in a process where triton does not interpret."""
    compiled, log = _compile(build, architecture)
    registers, spilled = _from_amdgcn(compiled) if architecture.backend == "hip" else _from_log(log)
    shared, faults = compiled.metadata.shared, []
    if spilled:
        faults.append(f"spills {spilled} bytes")
    if shared > architecture.shared_memory:
        faults.append(f"needs {shared} bytes of shared memory, there are {architecture.shared_memory}")
    if build.matrix and architecture.name == "sm_90" and "wgmma" not in compiled.asm["ptx"]:
        faults.append("does not use wgmma")
    return Compiled(build.name, architecture.name, registers, spilled, shared, tuple(faults))


def _compile(build: Build, architecture: Architecture) -> tuple[Any, str]:
    from triton import compile as triton_compile
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    knobs.nvidia.dump_ptxas_log = True
    # A compilation found in the cache prints no log.
    knobs.compilation.always_compile = True
    kernel = getattr(importlib.import_module(build.module), build.kernel)
    constants: dict[tuple[int, ...], Any] = {}
    divisible: dict[tuple[int, ...], Any] = {}
    kinds = {
        name: _kinds(build.signature[name], (place,), constants, divisible)
        for place, name in enumerate(kernel.arg_names)
    }
    source = ASTSource(kernel, kinds, constants, divisible)
    target = GPUTarget(architecture.backend, architecture.target, architecture.warp)
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        compiled = triton_compile(source, target=target, options={**build.options, "enable_fp_fusion": True})
    return compiled, log.getvalue()


def _kinds(kind: Any, path: tuple[int, ...], constants: dict[Any, Any], divisible: dict[Any, Any]) -> Any:
    """A type as triton takes it; constants and divisible arguments are noted by their path."""
    if isinstance(kind, Constant):
        constants[path] = kind.value
        return "constexpr"
    if isinstance(kind, tuple):
        inner = [_kinds(each, (*path, place), constants, divisible) for place, each in enumerate(kind)]
        return type(kind)(*inner) if type(kind) is not tuple else tuple(inner)
    if kind.endswith(":16"):
        divisible[path] = [["tt.divisibility", 16]]
    return kind.removesuffix(":16")


def _from_log(log: str) -> tuple[int, int]:
    """Registers, and bytes of stack and spills, as ptxas reports them."""
    registers = re.findall(r"Used (\d+) registers", log)
    if not registers:
        raise ValueError(f"the compiler reported no registers: {log[:500]!r}")
    spilled = [int(found) for found in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", log)]
    return max(map(int, registers)), max(spilled, default=0)


def _from_amdgcn(compiled: Any) -> tuple[int, int]:
    """The same for AMD, from the notes in the assembly."""
    assembly = compiled.asm["amdgcn"]
    registers = max(map(int, re.findall(r"\.vgpr_count:\s*(\d+)", assembly)))
    spilled = re.findall(r"\.(?:vgpr_spill_count|private_segment_fixed_size):\s*(\d+)", assembly)
    return registers, max(map(int, spilled))


def _prepare_worker() -> None:
    # A folder of its own: compilations that race for one cache entry disturb each other.
    os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="memenc-ahead-")
    os.environ.pop("TRITON_INTERPRET", None)
