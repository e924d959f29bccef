"""An encoder to read documents with: a memenc model, or a plain encoder with a memory that was never trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.saved import load_whole


@dataclass(frozen=True)
class NewMemory:
    """An untrained memory for a plain encoder, the same in every process that names the same seed.

    Args:
        memory: name of the design.
        options: keyword arguments of the design.
        segment_length: tokens of one segment, special tokens included.
        readout: name of the readout.
        seed: of its random weights.
        model_options: further fields of `MemencConfig`.
    """

    memory: str = "compressive"
    options: dict[str, Any] | None = None
    segment_length: int = 512
    readout: str = "memory"
    seed: int = 0
    model_options: dict[str, Any] | None = None


def load_encoder(name: str, new_memory: NewMemory | None = None) -> MemencModel:
    """The model of this name, ready to read.

    Args:
        name: folder or name of a memenc model, or of a plain encoder.
        new_memory: for a plain encoder, and only for one.

    Raises:
        ValueError: a memory where the model has one, or none where it has none.
    """
    if isinstance(AutoConfig.from_pretrained(name), MemencConfig):
        if new_memory is not None:
            raise ValueError(f"{name} is a memenc model with a memory of its own; leave the new one out")
        return load_whole(MemencModel, name)
    if new_memory is None:
        raise ValueError(f"{name} is a plain encoder: pass new_memory=NewMemory(...), or train a memory into it first")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(new_memory.seed)
        return MemencModel.from_backbone(
            name,
            new_memory.memory,
            new_memory.options,
            segment_length=new_memory.segment_length,
            readout=new_memory.readout,
            **(new_memory.model_options or {}),
        )
