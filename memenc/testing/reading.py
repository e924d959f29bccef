"""Ways to read with a model: in groups, in pieces, with the gradient followed back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memenc.model import MemencModel
from memenc.state import MemoryState
from memenc.testing.documents import CAPACITY, ragged, tokens


def read(
    model: MemencModel, ids: Tensor, mask: Tensor | None = None, segments_per_call: int | None = None, **arguments: Any
) -> Any:
    """Output of the model, with so many segments in a call of the backbone from now on."""
    if segments_per_call is not None:
        model.config.segments_per_call = segments_per_call
    return model(ids, mask, **arguments)


def feed(
    model: MemencModel, pieces_by_document: Iterable[Sequence[Tensor]], path: Path | None = None
) -> tuple[Tensor, MemoryState]:
    """Read documents piece by piece, the state saved and loaded between if there is a `path`: vector and state."""
    memory, output = None, None
    for pieces in zip(*pieces_by_document, strict=True):
        output = read(model, *ragged(pieces), memory=memory)
        memory = output.memory
        if path is not None:
            memory.save(path)
            memory = MemoryState.load(path)
    assert output is not None and memory is not None
    return output.pooler_output, memory


def gradient_by_segment(
    model: MemencModel, segments: int, on_segments: Iterable[int], segments_per_call: int = 1
) -> list[Tensor]:
    """Gradient norms (segments, tokens) that a number of one segment's states sends to embeddings, for each of some."""
    embedded: list[Tensor] = []

    def keep(module: object, inputs: object, output: Tensor) -> Tensor:
        embedded.append(output.requires_grad_().clone())
        return embedded[-1]

    hook = model.get_input_embeddings().register_forward_hook(keep)
    states = read(model, tokens(1, segments * CAPACITY), None, segments_per_call).last_hidden_state
    hook.remove()
    found = []
    for segment in on_segments:
        own = states.unflatten(1, (segments, CAPACITY))[:, segment]
        each = torch.autograd.grad((own * torch.randn_like(own)).sum(), embedded, allow_unused=True, retain_graph=True)
        rows = [torch.zeros_like(e) if g is None else g for e, g in zip(embedded, each, strict=True)]
        found.append(torch.cat(rows).norm(dim=-1))
    return found
