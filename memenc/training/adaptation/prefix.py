"""Prefix tuning: a document begins as if learned entries or tokens stood in its memory, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from memenc.encoder.places import holds_something
from memenc.memory import RowTokens
from memenc.memory.learned_start import LearnedStart
from memenc.training.adaptation.parts import in_head, train_only
from memenc.training.settings import TrainingSettings

# Learned entries of `global`, which stay; those of `LearnedStart` move on like any segment.
ANCHORS = (".anchor_keys", ".anchor_values")


@contextmanager
def prefix(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train what memory starts with, and the head; backbone, memory and readout stay as they are.

    That is the learned start of every layer's memory, the anchors of `global`, and the learned tokens of `tokens` and
    `summary`. Those of `associative` are only written, which its start is too: a fresh one writes nothing.

    Source: Li and Liang 2021, Prefix-Tuning (arXiv:2101.00190).

    Raises:
        ValueError: no layer has a memory that could start with something.
    """
    starts = starts_of(model)
    if not starts:
        raise ValueError(
            f"adapt='prefix' trains what a memory starts with, and here {_nothing_there(model)}. Every other memory "
            "has a start: windowed, compressive, tokens, summary, ..."
        )
    train_only(model, lambda name: name in starts or in_head(model, name))
    yield


def starts_of(model: PreTrainedModel) -> set[str]:
    """Names of the parameters that memories start with and that what is read depends on."""
    found = {name for name, _ in model.named_parameters() if ".memories." in name and name.endswith(ANCHORS)}
    for name, module in model.named_modules():
        if isinstance(module, LearnedStart) and keeps(module):
            found |= {f"{name}.start_keys", f"{name}.start_values"}
        elif isinstance(module, RowTokens):
            found |= {f"{name}.{start}" for start in module.starts}
    return found


def keeps(start: LearnedStart) -> bool:
    """Whether the memory holds anything of what is written to it.

    A fresh `associative` does not: it projects values by zero, and only training its projections would end that. Its
    normaliser, which counts a write all the same, is nothing that could be read.
    """
    fresh, written = (memory.initial_state(1, start.start_keys) for memory in (start.memory, start))
    return any(not torch.equal(written[name], fresh[name]) for name in fresh if not name.endswith("normaliser"))


def _nothing_there(model: Any) -> str:
    memory = f"memory={model.config.memory!r}"
    if not any(map(holds_something, model.base_model.encoder.layer_memories)):
        return f"{memory} keeps nothing: choose another"
    if not model.config.learned_start:
        return f"{memory} has learned_start=False: give learned_start=True"
    return (
        f"{memory} is fresh and writes nothing, whatever it starts with: train it in another way first "
        "(adapt='frozen', for one) and go on from there, or choose another memory"
    )
