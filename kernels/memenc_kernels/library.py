"""Kernels as operators of torch: visible to torch.compile, with an autograd formula, one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

NAMESPACE = "memenc_kernels"
# torch calls AMD's devices CUDA too; on the CPU the interpreter of triton runs.
DEVICES = ("cpu", "cuda")


def define(name: str, schema: str, implementation: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Make ``torch.ops.memenc_kernels.<name>`` and return it.

    A gradient is an operator of its own, called by the formula that `torch.library.register_autograd` is given:
    autograd cannot run inside an operator, and operators are never nested.

    Args:
        name: of the operator.
        schema: such as ``(Tensor queries, Tensor? valid, float scaling) -> (Tensor, Tensor)``; none of the results may
            share memory with an argument.
        implementation: imports triton when it is called, never before.
        fake: shapes, types and strides of the results, without computing them.
    """
    full = f"{NAMESPACE}::{name}"
    torch.library.define(full, schema)
    torch.library.impl(full, DEVICES, implementation)
    torch.library.register_fake(full, fake)
    return getattr(torch.ops.memenc_kernels, name).default
