"""Ways to adapt by name: what is trained. This table is the only list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

from memenc.training.adaptation.bitfit import bitfit
from memenc.training.adaptation.frozen import frozen
from memenc.training.adaptation.full import full
from memenc.training.adaptation.lora import lora
from memenc.training.adaptation.prefix import prefix
from memenc.training.settings import LORA_RANK


@dataclass(frozen=True)
class Adaptation:
    """What a name stands for.

    Args:
        trains: what is trained, in words.
        adapt: makes the model's other parameters constant for as long as the context lasts.
        model_options: fields of `MemencConfig` that it needs.
        low_rank: `adapt` takes a rank besides.
    """

    trains: str
    adapt: Callable[..., AbstractContextManager[None]]
    model_options: Mapping[str, Any] = field(default_factory=dict)
    low_rank: bool = False


ADAPTATIONS: dict[str, Adaptation] = {
    "full": Adaptation("backbone, memory, readout and head", full),
    "frozen": Adaptation("memory, readout and head; the backbone stays as it is", frozen),
    "lora": Adaptation(
        "low-rank additions to every linear layer of the backbone; memory, readout and head", lora, low_rank=True
    ),
    "prefix": Adaptation("the learned start of the memory, and the head", prefix, {"learned_start": True}),
    "bitfit": Adaptation("biases of the backbone; memory, readout and head", bitfit),
}


def adaptation_named(name: str) -> Adaptation:
    """The way to adapt of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in ADAPTATIONS:
        raise ValueError(f"adapt={name!r}: choose one of {', '.join(ADAPTATIONS)}")
    return ADAPTATIONS[name]


def options_for(name: str, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields of `MemencConfig` with those that a way to adapt needs.

    Raises:
        ValueError: a field is given that contradicts it.
    """
    needed = adaptation_named(name).model_options
    given = dict(model_options or {})
    for field_name, value in needed.items():
        if given.setdefault(field_name, value) != value:
            raise ValueError(
                f"adapt={name!r} needs {field_name}={value!r}, received {given[field_name]!r}; leave it out"
            )
    return given


@contextmanager
def adapted(model: PreTrainedModel, name: str, lora_rank: int = LORA_RANK) -> Iterator[None]:
    """Train `model` this way inside the context; behind it everything can be trained that could be before.

    Args:
        model: with a backbone.
        name: one of `ADAPTATIONS`.
        lora_rank: of low-rank additions; the other ways have none.

    Raises:
        ValueError: the model has nothing that this way trains.
    """
    adaptation = adaptation_named(name)
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with adaptation.adapt(model, lora_rank) if adaptation.low_rank else adaptation.adapt(model):
            yield
    finally:
        for parameter, before in trainable:
            parameter.requires_grad_(before)


__all__ = ["ADAPTATIONS", "Adaptation", "adaptation_named", "adapted", "options_for"]
