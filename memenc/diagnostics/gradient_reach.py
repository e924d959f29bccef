"""How far gradient flows back through memory, and which parameters of the memory it misses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.diagnostics.gates import memory_parameters
from memenc.diagnostics.knockout import ROUNDING, Place, change, content, half
from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState

# All activations of a reading with gradient are in memory at once.
SEGMENTS, DOCUMENTS = 8, 2


@dataclass(frozen=True)
class Gradients:
    """What gradient finds its way.

    Args:
        reach: norm that a random projection of the last segment's token states sends to the input embeddings of the
            segment before, the one before that, ..., relative to what it sends to its own.
        places: norm that the last segment's token states send to what each place holds before it; where only the
            context vector hears it, that which the vector sends to what it holds at the end.
        carried: norm that what a place holds sends to what it held one segment earlier; empty for two segments.
        parameters: norm of each trainable parameter of memories and row tokens, from all outputs.
        detached: tensors of each place that no gradient can reach though others of it have one, and which the last
            segment's token states depend on.
        idle_loss: whether the design has a loss of its own, and not of 0, from which no parameter learns.
    """

    reach: tuple[float, ...]
    places: dict[str, float]
    carried: dict[str, float]
    parameters: dict[str, float]
    detached: dict[str, tuple[str, ...]]
    idle_loss: bool


@torch.enable_grad()
def gradients(model: MemencModel, documents: Tensor, places: Sequence[Place], generator: torch.Generator) -> Gradients:
    """Read the beginning of documents (documents, segments, tokens) with gradient, and follow it back."""
    documents = documents[:DOCUMENTS, :SEGMENTS]
    outputs, embedded = _read(model, documents)
    states = [_memory(output) for output in outputs]
    # Beside an unfinished segment the readout has to weigh what the memory holds against something else.
    end = model(half(documents), memory=states[-1])
    tokens = project([outputs[-1].last_hidden_state], generator)
    vector = project([end.pooler_output], generator)
    everything = tokens + vector + project([x.last_hidden_state for x in (*outputs[:-1], end)], generator)

    parameters = {name: x for name, x in memory_parameters(model).items() if x.requires_grad}
    by_segment = _norms(tokens, embedded)
    own = by_segment[-1] or 1.0
    return Gradients(
        tuple(norm / own for norm in reversed(by_segment[:-1])),
        {
            place.name: sum(_norms(vector, _differentiable(states[-1], place)))
            if place.heard == "vector"
            else sum(_norms(tokens, _differentiable(states[-2], place)))
            for place in places
        },
        _carried(states, places, generator),
        dict(zip(parameters, _norms(everything, list(parameters.values())), strict=True)),
        {place.name: _detached(model, documents[:, -1], outputs[-1], states[-2], place) for place in places},
        _is_idle([output.auxiliary_loss for output in outputs], list(parameters.values())),
    )


@contextmanager
def embeddings_kept(model: MemencModel) -> Iterator[list[Tensor]]:
    """Input embeddings of every call of the backbone inside, (rows, tokens, hidden), with a gradient."""
    embedded: list[Tensor] = []

    def keep(module: object, inputs: object, output: Tensor) -> Tensor:
        # A frozen embedding layer is to have a gradient as well; the copy stands between it and the backbone.
        embedded.append(output.requires_grad_().clone())
        return embedded[-1]

    hook = model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield embedded
    finally:
        hook.remove()


def _read(model: MemencModel, documents: Tensor) -> tuple[list[MemencOutput], list[Tensor]]:
    """Outputs and input embeddings of every segment, with one graph behind them."""
    outputs: list[MemencOutput] = []
    with embeddings_kept(model) as embedded:
        try:
            # A design has a loss of its own while it trains; the backbone, which may drop out, stays as it is.
            model.encoder.memories.train()
            for segment in documents.unbind(1):
                outputs.append(model(segment, memory=outputs[-1].memory if outputs else None))
        finally:
            model.encoder.memories.eval()
    return outputs, embedded


def _memory(output: MemencOutput) -> MemoryState:
    assert output.memory is not None
    return output.memory


def _carried(states: list[MemoryState], places: Sequence[Place], generator: torch.Generator) -> dict[str, float]:
    """Gradient from each place before the last segment to the same place one segment earlier."""
    if len(states) < 3:
        return {}
    found = {}
    for place in places:
        after, before = _differentiable(states[-2], place), _differentiable(states[-3], place)
        found[place.name] = sum(_norms(project(after, generator), before)) if after and before else 0.0
    return found


def _detached(
    model: MemencModel, ids: Tensor, whole: MemencOutput, state: MemoryState, place: Place
) -> tuple[str, ...]:
    states = whole.last_hidden_state
    if place.heard != "tokens" or states is None or not _differentiable(state, place):
        return ()
    found = []
    for name, tensor in content(state, place).items():
        if not tensor.requires_grad:
            emptied = {f"{place.prefix}.{name}": torch.zeros_like(tensor)}
            with torch.no_grad():
                without = model(ids, memory=MemoryState(state.tensors | emptied, state.fingerprint))
            if change(states, without.last_hidden_state) > ROUNDING:
                found.append(name)
    return tuple(found)


def _is_idle(losses: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> bool:
    # It is 0 as long as nothing has left the window, which takes longer documents.
    own = [loss for loss in losses if loss is not None and bool(loss != 0)]
    return bool(own and parameters) and not any(_norms(torch.stack(own).sum(), list(parameters)))


def _differentiable(state: MemoryState, place: Place) -> list[Tensor]:
    return [tensor for tensor in state.part(place.prefix).values() if tensor.requires_grad]


def project(tensors: Sequence[Tensor | None], generator: torch.Generator) -> Tensor:
    """One number to which every number contributes, each with a random weight."""
    there = [tensor for tensor in tensors if tensor is not None]
    weights = [torch.randn(x.shape, generator=generator).to(x) for x in there]
    return torch.stack([(x * weight).sum().double() for x, weight in zip(there, weights, strict=True)]).sum()


def _norms(number: Tensor, inputs: list[Tensor]) -> list[float]:
    """Norm of the gradient of `number` by each input, 0 where none arrives; the graph stays."""
    if not inputs or not number.requires_grad:
        return [0.0] * len(inputs)
    found = torch.autograd.grad(number, inputs, retain_graph=True, allow_unused=True)
    return [0.0 if gradient is None else float(gradient.double().norm()) for gradient in found]
