"""What every segment of one document contributes to its vector or decision: knock-out, and a cheap gradient beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.diagnostics.attribution import without_writes_of
from memenc.diagnostics.knockout import measured
from memenc.diagnostics.probing.reading import Told, answers_of, silence
from memenc.encoder.encoded import Keep
from memenc.model import HasMemenc, MemencModel, memenc_of
from memenc.state import MemoryState, grown

Scored = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Contributions:
    """One document, segment by segment.

    Args:
        measure: what is contributed to: the margin of a label, or the length along the context vector.
        whole: its value for the whole document.
        knockout: how much it falls when what a segment wrote is knocked out and later segments are read without it.
        gradient: the same to first order, gradient x write, from one backward pass.
        texts: what the segments say; empty without a tokenizer.
    """

    measure: str
    whole: float
    knockout: tuple[float, ...]
    gradient: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def agreement(self) -> float | None:
        """Correlation of ranks of knock-out and gradient (Spearman); None if one of them is constant."""
        if len(set(self.knockout)) < 2 or len(set(self.gradient)) < 2:
            return None
        found: Any = spearmanr(self.knockout, self.gradient)
        return float(found.statistic)


def contributions(
    model: MemencModel | HasMemenc,
    document: Tensor,
    tokenizer: PreTrainedTokenizerBase | None = None,
    told: Told = silence,
) -> Contributions:
    """Measure what each segment of one document contributes.

    Knocking a write out leaves the state as it was before the segment, so its first-order effect is the gradient by
    the state after the segment times the change that the segment made. The graph of the whole document is held at
    once: give a document of some tens of segments.

    Args:
        model: a MemencModel, or a classifier, whose decision is then explained.
        document: (segments, tokens) own tokens of whole segments.
        tokenizer: to show what the segments say.
        told: is called with how far it is.

    Raises:
        ValueError: fewer than two segments.
    """
    encoder = memenc_of(model)
    if document.shape[0] < 2:
        raise ValueError(f"a document of {document.shape[0]} whole segments: give at least two")
    with measured(encoder):
        with torch.no_grad():
            vector = encoder(document.flatten()[None], output_token_states=False).pooler_output
            measure, score = _score(model, vector)
            whole = float(score(vector)[0])
        falls = []
        for index in range(len(document)):
            told(f"attribution: segment {index + 1} of {len(document)}")
            falls.append(whole - _without(encoder, document, index, score))
        slopes = _gradient_times_write(encoder, document, score)
    texts = () if tokenizer is None else tuple(str(tokenizer.decode(ids)) for ids in document)
    return Contributions(measure, whole, tuple(falls), tuple(slopes), texts)


def _score(model: MemencModel | HasMemenc, vector: Tensor) -> tuple[str, Scored]:
    """A number for context vectors (documents, hidden): margin of the label of this one, or the length along it."""
    logits = answers_of(model, vector)
    if logits is None:
        direction = torch.nn.functional.normalize(vector[0].double(), dim=0)
        return "length along the context vector", lambda vectors: vectors.double() @ direction
    label, count = int(logits[0].argmax()), logits.shape[1]

    def margin(vectors: Tensor) -> Tensor:
        found = answers_of(model, vectors)
        assert found is not None
        return found[:, label] - (found.sum(1) - found[:, label]) / max(1, count - 1)

    names: dict = memenc_of(model).config.id2label or {}
    return f"margin of {names.get(label, label)!r}", margin


@torch.no_grad()
def _without(model: MemencModel, document: Tensor, index: int, score: Scored) -> float:
    ids, state = document.flatten()[None], model.encoder.initial_state(1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    chosen = without_writes_of(model.segments_of(ids, mask, state), torch.tensor([index], device=ids.device))
    encoded = model.encoder(chosen, state, 1, Keep(token_states=False))
    return float(score(model.read_out(encoded.state))[0])


@torch.enable_grad()
def _gradient_times_write(model: MemencModel, document: Tensor, score: Scored) -> list[float]:
    states = [{name: _leaf(x) for name, x in model.initial_memory(1).tensors.items()}]
    memory = MemoryState(states[0], model.fingerprint)
    for segment in document:
        memory = model(segment[None], memory=memory, output_token_states=False).memory
        states.append(memory.tensors)
    number = score(model.read_out(memory)).sum()
    found = []
    for before, after in pairwise(states):
        names = [name for name, x in after.items() if x.requires_grad and not name.startswith("current.")]
        slopes = torch.autograd.grad(number, [after[name] for name in names], retain_graph=True, allow_unused=True)
        pairs = [(slope, after[name], before[name]) for name, slope in zip(names, slopes, strict=True)]
        found.append(sum(_product(*pair) for pair in pairs if pair[0] is not None))
    return found


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor


def _product(slope: Tensor, after: Tensor, before: Tensor) -> float:
    change = after.detach() - grown(before.detach(), after.shape)
    # A fresh maximum is minus infinity: there is no first order from there.
    return float((slope.double() * change.double().nan_to_num(0.0, 0.0, 0.0)).sum())
