"""The architectures that kernels ship configurations for, and what each can hold."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Architecture:
    """A kind of GPU.

    Args:
        name: sm_80, sm_90 or gfx942.
        backend: cuda or hip, as triton calls it.
        warp: threads that run in step.
        shared_memory: bytes that one program can use.
    """

    name: str
    backend: str
    warp: int
    shared_memory: int

    @property
    def target(self) -> int | str:
        """As triton names it."""
        return int(self.name.removeprefix("sm_")) if self.backend == "cuda" else self.name


ARCHITECTURES = (
    Architecture("sm_80", "cuda", 32, 166_912),
    Architecture("sm_90", "cuda", 32, 232_448),
    Architecture("gfx942", "hip", 64, 65_536),
)


def architecture_named(name: str) -> Architecture:
    """One of ARCHITECTURES."""
    return next(each for each in ARCHITECTURES if each.name == name)


def architecture_of(device: torch.device) -> Architecture:
    """The architecture whose configurations fit a device best; the interpreter (CPU) takes those of sm_80."""
    if device.type != "cuda":
        return architecture_named("sm_80")
    return _of_index(torch.cuda.current_device() if device.index is None else device.index)


@functools.cache
def _of_index(index: int) -> Architecture:
    if torch.version.hip:
        return architecture_named("gfx942")
    # Hopper is the only one of its kind: its configurations ask for more memory than any later consumer card has.
    major, _ = torch.cuda.get_device_capability(index)
    return architecture_named("sm_90" if major in (9, 10) else "sm_80")
