"""Which implementation of a kernel runs: as asked for, or chosen once by what the machine and the tensors allow."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

import torch

Implementation = Literal["auto", "triton", "torch"]
Chosen = Literal["triton", "torch"]
Result = TypeVar("Result")

VARIABLE = "MEMENC_KERNELS"
# Each is a folder beside this file with its reference in torch and, if it has one, its kernel in triton.py.
FUNCTIONS = (
    "memory_attention",
    "linear_memory",
    "document_pooling",
    "gated_update",
    "compression",
    "ring_append",
    "rotation",
)

_logger = logging.getLogger("memenc_kernels")
_setting: ContextVar[Implementation | None] = ContextVar("memenc_kernels_implementation", default=None)


@dataclass(frozen=True)
class Choice:
    """What runs for a function, and why: `implementation` and `reason` for people."""

    function: str
    implementation: Chosen
    reason: str


@contextmanager
def use_implementation(implementation: Implementation) -> Iterator[None]:
    """Within the block, functions called with "auto" run this implementation, or refuse.

    Raises:
        ValueError: the name is none of auto, triton, torch.
    """
    token = _setting.set(_checked(implementation, "implementation"))
    try:
        yield
    finally:
        _setting.reset(token)


def as_asked_now(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function with the implementation that is asked for now, wherever it is called.

    What activation checkpointing computes again may be computed outside the block, or by autograd's own thread.
    """
    asked = requested("auto")
    if asked == "auto":
        return function

    def run(*arguments: Any, **named: Any) -> Result:
        with use_implementation(asked):
            return function(*arguments, **named)

    return run


def choose(function: str, implementation: Implementation, device: torch.device, refusal: str | None) -> Chosen:
    """The implementation that runs; under torch.compile, what it is when the call is traced.

    Args:
        function: name of the public function, for messages.
        implementation: as asked for; "auto" goes by `use_implementation`, then by the variable MEMENC_KERNELS, then by
            what is possible.
        device: of the tensors.
        refusal: why the kernel cannot do what is asked (shapes, types, options), None if it can.

    Raises:
        ValueError: "triton" was asked for and cannot run.
    """
    asked = requested(implementation)
    if asked == "torch":
        return "torch"
    reason = device_refusal(device, forced=asked == "triton") or refusal
    if reason is None:
        _log(function, "triton", "the tensors are on a GPU" if asked == "auto" else "it was asked for")
        return "triton"
    if asked == "triton":
        raise ValueError(f'{function}: implementation="triton" cannot run: {reason}; use "auto" or "torch"')
    _log(function, "torch", reason)
    return "torch"


# As torch.compiler.assume_constant_result does, which would import the whole compiler, and triton with it.
choose._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


def requested(implementation: Implementation) -> Implementation:
    """What was asked for by argument, by `use_implementation`, or by the environment, in this order."""
    if _checked(implementation, "implementation") != "auto":
        return implementation
    setting = _setting.get()
    return _checked(os.environ.get(VARIABLE) or "auto", VARIABLE) if setting is None else setting


def device_refusal(device: torch.device, forced: bool = False) -> str | None:
    """Why Triton cannot run on tensors of this device, None if it can.

    Args:
        device: of the tensors; torch calls AMD's devices "cuda" too.
        forced: whether Triton was asked for by name; only then its interpreter counts.
    """
    if not _installed("triton"):
        return "triton is not installed"
    if device.type == "cuda":
        return _driver_refusal() or _age_refusal(torch.cuda.current_device() if device.index is None else device.index)
    if device.type == "cpu" and interpreting():
        return None if forced else "the interpreter of triton (TRITON_INTERPRET=1) only runs when asked for by name"
    return f"triton runs on CUDA and HIP devices, the tensors are on {device.type!r}"


def interpreting() -> bool:
    """Whether kernels run in the interpreter of triton, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def implementations() -> list[Choice]:
    """For every function, what "auto" would run on this machine's default device, and why."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return [_default_choice(function, device) for function in FUNCTIONS]


def _default_choice(function: str, device: torch.device) -> Choice:
    asked = requested("auto")
    if asked == "torch":
        return Choice(function, "torch", f"asked for, by the variable {VARIABLE} or the program")
    if not _installed(f"memenc_kernels.{function}.triton"):
        return Choice(function, "torch", "there is no Triton kernel for it")
    reason = device_refusal(device, forced=asked == "triton")
    if reason is None:
        return Choice(function, "triton", "for tensors on the GPU of types and shapes that the kernel supports")
    if asked == "triton":
        reason = f"calls are refused: triton is asked for, but {reason}"
    return Choice(function, "torch", reason)


@functools.cache
def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@functools.cache
def _driver_refusal() -> str | None:
    # Triton may be installed where its driver is not, or for another kind of device than torch's.
    try:
        from triton.runtime import driver

        driver.active.get_current_target()
    except Exception as error:  # whatever a broken installation raises is the reason
        return f"triton finds no driver: {error}"
    return None


@functools.cache
def _age_refusal(index: int) -> str | None:
    if torch.version.hip:
        return None
    major, minor = torch.cuda.get_device_capability(index)
    # Cards of before have less shared memory than the blocks need.
    return None if major >= 8 else f"the kernels need compute capability 8.0, this GPU has {major}.{minor}"


def _checked(implementation: str, name: str) -> Implementation:
    if implementation not in get_args(Implementation):
        raise ValueError(f"{name}={implementation!r}: choose one of {get_args(Implementation)}")
    return cast(Implementation, implementation)


@functools.cache
def _log(function: str, chosen: str, reason: str) -> None:
    _logger.info("%s runs in %s: %s", function, chosen, reason)
