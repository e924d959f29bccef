"""Several processes in step: what each gathers or reduces together with the others, all do equally often."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, distributed, nn

from memenc.segments import Segments, with_empty_segments


def number_of_processes() -> int:
    """Processes that train together, as torchrun and accelerate tell them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this is the one that writes files and speaks."""
    return os.environ.get("RANK", "0") == "0"


def largest_of_all(number: int, device: torch.device) -> int:
    """The largest of the numbers that all processes bring; one process alone keeps its own."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    shared = torch.tensor(number, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


def mean_of_all(number: float, device: torch.device) -> float:
    """The mean of the numbers that all processes bring; one process alone keeps its own."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    shared = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.all_reduce(shared)
    return float(shared) / distributed.get_world_size()


def gathers_weights(module: nn.Module) -> bool:
    """Whether calling the module gathers weights from other processes, each of which must call it too.

    So do both kinds of FSDP and DeepSpeed's ZeRO-3, which marks parameters with an id of its own.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    sharded = (FSDPModule, FullyShardedDataParallel)
    return any(isinstance(part, sharded) for part in module.modules()) or any(
        "ds_id" in vars(parameter) for parameter in module.parameters()
    )


def zero_of(module: nn.Module, but: nn.Module) -> Tensor | None:
    """A zero through which every parameter outside `but` has a gradient; None without other processes, or with shards.

    A step in which no document is long enough to be written leaves parameters of a memory without gradient, for which
    processes that exchange gradients (DDP) would wait for ever.
    """
    alone = not (distributed.is_available() and distributed.is_initialized())
    if alone or not module.training or not torch.is_grad_enabled() or gathers_weights(module):
        return None
    inside = set(map(id, but.parameters()))
    rest = [x for x in module.parameters() if x.requires_grad and id(x) not in inside]
    return torch.stack([(0.0 * x.float()).sum() for x in rest]).sum() if rest else None


def plus(states: Tensor | None, *zeros: Tensor | None) -> Any:
    """States with zeros added, through which a gradient passes; None where there are no states."""
    for zero in zeros:
        states = states if states is None or zero is None else states + zero.to(states.dtype)
    return states


def refuse_replica(module: nn.Module) -> None:
    """Refuse a copy made by torch.nn.DataParallel.

    Raises:
        ValueError: it is one.
    """
    if getattr(module, "_is_replica", False):
        raise ValueError(
            "torch.nn.DataParallel cannot hand a memory from GPU to GPU; start one process per GPU with torchrun, or "
            "show the program one GPU (CUDA_VISIBLE_DEVICES=0)"
        )


def in_step(segments: Segments, segments_per_call: int) -> Segments:
    """The segments with empty ones behind, for as many backbone calls as the process with the most makes."""
    calls = -(-segments.count // segments_per_call)
    all_calls = largest_of_all(calls, segments.ids.device)
    if calls == all_calls:
        return segments
    # The calls that are added have one segment each.
    return with_empty_segments(segments, (all_calls - 1) * segments_per_call + 1 - segments.count)
