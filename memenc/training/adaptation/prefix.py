"""Prefix tuning: a document begins as if learned entries stood in its memory, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from memenc.memory.learned_start import LearnedStart
from memenc.training.adaptation.parts import in_head, train_only

# Learned entries of `global`, which stay; those of `LearnedStart` move on like any segment.
ANCHORS = (".anchor_keys", ".anchor_values")
STARTS = (".start_keys", ".start_values")


@contextmanager
def prefix(model: PreTrainedModel) -> Iterator[None]:
    """Train the learned start of every layer's memory, and the head; backbone, memory and readout stay as they are.

    Source: Li and Liang 2021, Prefix-Tuning (arXiv:2101.00190).

    Raises:
        ValueError: no layer has a memory that could start with something.
    """
    begins = {name for name, module in model.named_modules() if isinstance(module, LearnedStart) and keeps(module)}

    def chosen(name: str) -> bool:
        start = name.endswith(STARTS) and name.rpartition(".")[0] in begins
        anchor = name.endswith(ANCHORS) and ".memories." in name
        return start or anchor or in_head(model, name)

    trained = train_only(model, chosen)
    if not any(".memories." in name for name in trained):
        raise ValueError(
            f"adapt='prefix': layers with memory={model.config.memory!r} and "
            f"learned_start={model.config.learned_start} have no learned start; choose a memory that keeps entries, "
            "such as compressive, windowed or global, with learned_start=True"
        )
    yield


def keeps(start: LearnedStart) -> bool:
    """Whether the memory holds anything of what is written to it.

    A fresh `associative` does not: it projects values by zero, and only training its projections would end that. Its
    normaliser, which counts a write all the same, is nothing that could be read.
    """
    fresh, written = (memory.initial_state(1, start.start_keys) for memory in (start.memory, start))
    return any(not torch.equal(written[name], fresh[name]) for name in fresh if not name.endswith("normaliser"))
