"""What is timed: documents of one size, and a function with its implementations and the work it must do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from speed.measure import Work
from speed.table import NotRun
from torch import Tensor

from memenc_kernels.dispatch import device_refusal


@dataclass(frozen=True)
class Shape:
    """Documents of one size; lengths are in tokens, the rate in tokens per slot."""

    batch: int
    tokens: int
    heads: int
    dim: int
    dtype: torch.dtype
    device: str
    segment: int = 512
    window: int = 512
    slots: int = 256
    rate: int = 4

    def __post_init__(self) -> None:
        if not self.tokens or self.tokens % self.segment:
            raise ValueError(f"{self.tokens} tokens are not whole segments of {self.segment}; give a multiple")

    @property
    def segments(self) -> int:
        return self.tokens // self.segment

    @property
    def state_bytes(self) -> int:
        """Bytes of one number per token, head and dimension."""
        return self.batch * self.tokens * self.heads * self.dim * self.dtype.itemsize

    def columns(self) -> dict[str, Any]:
        dtype = str(self.dtype).removeprefix("torch.")
        return {"batch": self.batch, "tokens": self.tokens, "heads": self.heads, "dim": self.dim, "dtype": dtype}

    def states(self, *axes: int) -> Tensor:
        """Random (axes, tokens of a segment, heads, dim), the heads in front as backbones give them."""
        shape = (*axes, self.segment, self.heads, self.dim)
        return torch.randn(shape, device=self.device, dtype=self.dtype).transpose(-3, -2)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=self.dtype)

    def in_calls(self, most: int) -> tuple[int, Shape]:
        """How many calls of which size read as much, with at most so many bytes of states in each."""
        shape, calls = self, 1
        while shape.state_bytes > most and shape.tokens >= 2 * shape.segment:
            shape, calls = replace(shape, tokens=shape.tokens // 2), 2 * calls
        return calls, shape


@dataclass(frozen=True)
class Problem:
    """A call, the tensors whose gradient is asked for, and the part of its result that others are compared by."""

    call: Callable[[], Any]
    wanted: list[Tensor]
    compared: Callable[[Any], Tensor] = lambda found: found[0] if isinstance(found, tuple) else found
    note: str = ""


@dataclass(frozen=True)
class Function:
    """A function by its name: implementations that build its problem for a shape, and the least work per direction."""

    name: str
    implementations: Mapping[str, Callable[[Shape], Problem]]
    work: Mapping[str, Callable[[Shape], Work]]


def require_triton(device: str) -> None:
    """Refuse where Triton does not run."""
    if reason := device_refusal(torch.device(device), forced=True):
        raise NotRun(reason)


def require_installed(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotRun(f"{module} is not installed")


def compiled(build: Callable[[Shape], Problem]) -> Callable[[Shape], Problem]:
    """The same problem through torch.compile."""

    def compile_it(shape: Shape) -> Problem:
        if shape.device == "cpu":
            raise NotRun("compiled on GPUs only")
        # The backward pass is timed again and again over one graph.
        torch._functorch.config.donated_buffer = False
        problem = build(shape)
        return replace(problem, call=torch.compile(problem.call, dynamic=False))

    return compile_it


def in_both(build: Callable[[Shape, Any], Problem]) -> dict[str, Callable[[Shape], Problem]]:
    """The implementations that every function has: Triton, and the torch reference plain and compiled."""

    def triton(shape: Shape) -> Problem:
        require_triton(shape.device)
        return build(shape, "triton")

    def reference(shape: Shape) -> Problem:
        return build(shape, "torch")

    return {"triton": triton, "torch": reference, "torch compiled": compiled(reference)}
