"""Products with weights on a CPU whose wide vector unit torch's usual library leaves half idle.

torch multiplies float32 matrices with MKL, which uses AVX-512 on processors of its own maker only. oneDNN, which torch
carries too, uses it on any: about twice as many operations per second, forth and back (benchmarks/products.py).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from memenc_kernels.dispatch import requested

# Multiplications below which calling oneDNN costs more than it wins.
FEWEST_MULTIPLICATIONS = 2**22


def fast_products(multiplications: int, device: torch.device) -> AbstractContextManager:
    """Within the block, `torch.nn.functional.linear` multiplies large float32 matrices by oneDNN, where that is faster.

    Its gradient is the same (that of the gradient is refused).

    Args:
        multiplications: in the largest layer; where they are few, small calls are spared the detour through Python.
        device: of the layers; all but a CPU are spared it.
    """
    here = device.type == "cpu" and multiplications >= FEWEST_MULTIPLICATIONS
    return _FastProducts() if here and _wanted() else nullcontext()


def worthwhile(tensors: Sequence[Tensor], multiplications: int) -> bool:
    """Whether `product` is the faster way to multiply these.

    It is not on other processors, for other types or few numbers, under autocast or torch.compile, and where kernels
    are asked to run in torch (`use_implementation("torch")`, MEMENC_KERNELS=torch).
    """
    return (
        multiplications >= FEWEST_MULTIPLICATIONS
        and all(_plain(x) for x in tensors)
        and _wanted()
        and not torch.is_autocast_enabled("cpu")
        # Counters of operations know only the usual ones.
        and torch._C._len_torch_dispatch_stack() == 0
    )


def _wanted() -> bool:
    return not torch.compiler.is_compiling() and requested("auto") != "torch" and why_not() is None


@functools.cache
def why_not() -> str | None:
    """Why torch's usual products are used on this machine, None if oneDNN's are."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return "the processor has no AVX-512"
    if _maker() is None:
        return "who made the processor is unknown"
    if _maker() == "GenuineIntel":
        return "torch's usual library uses all of this processor"
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"
    return _fault()


def _maker() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), None)


def _fault() -> str | None:
    # The operator is torch's own, but not for the public: a torch that has another is found here. No random numbers:
    # this runs within a training. Nor a product of torch's: autocast would round it.
    numbers = torch.arange(20, dtype=torch.float32, device="cpu")
    inputs, weight, bias = numbers[:15].view(3, 5), numbers.view(4, 5), numbers[:4]
    try:
        torch._C._len_torch_dispatch_stack()
        right = torch.equal(product(inputs, weight, bias), (inputs[:, None] * weight).sum(-1) + bias)
    except (AttributeError, RuntimeError, TypeError) as error:
        return f"this torch calls oneDNN in another way: {error}"
    return None if right else "oneDNN gave another result"


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``inputs weight^T + bias`` by oneDNN, without gradient.

    Args:
        inputs: (..., wide), float32 on a CPU.
        weight: (narrow, wide).
        bias: (narrow,).
    """
    return torch.ops.mkldnn._linear_pointwise(_laid_out(inputs), _laid_out(weight), bias, "none", [], "")


def product_over_rows(left: Tensor, right: Tensor) -> Tensor:
    """``left^T right`` by oneDNN, without gradient, of (rows, narrow) and (rows, wide)."""
    # The first operand is copied, if it is transposed: the smaller one.
    if left.shape[1] <= right.shape[1]:
        return product(left.t(), right.t())
    return product(right.t(), left.t()).t()


def _laid_out(tensor: Tensor) -> Tensor:
    # With any other strides oneDNN falls back to loops that are a thousand times slower.
    return (
        tensor if tensor.is_contiguous() or (tensor.dim() == 2 and tensor.t().is_contiguous()) else tensor.contiguous()
    )


class _FastProducts(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.linear:
            return _linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    tensors = [x for x in (input, weight, bias) if x is not None]
    # oneDNN would read shapes that do not fit as if they did.
    fits = (
        input.dim() >= 2 == weight.dim()
        and input.shape[-1:] == weight.shape[1:]
        and (bias is None or bias.shape == weight.shape[:1])
    )
    if fits and worthwhile(tensors, input.numel() * len(weight)):
        return cast(Tensor, _Linear.apply(input, weight, bias))
    return functional.linear(input, weight, bias)


def _plain(tensor: Tensor) -> bool:
    # Parts of weights that several processes share, and other kinds of tensors, know how to multiply themselves.
    return type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == torch.float32 and tensor.device.type == "cpu"


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        for_inputs, for_weight, for_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            product(gradient, weight.t()) if for_inputs else None,
            product_over_rows(rows, inputs.flatten(0, -2)) if for_weight else None,
            rows.sum(0) if for_bias else None,
        )
