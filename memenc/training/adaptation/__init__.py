"""Ways to adapt by name: what is trained. `Way` of the settings repeats the names, and a test compares the two."""

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
from memenc.training.settings import TrainingSettings, Way


@dataclass(frozen=True)
class Adaptation:
    """What a name stands for.

    Args:
        adapt: makes all parameters but those it trains constant for as long as the context lasts.
        model_options: fields of `MemencConfig` that it needs.
    """

    adapt: Callable[[PreTrainedModel, TrainingSettings], AbstractContextManager[None]]
    model_options: Mapping[str, Any] = field(default_factory=dict)


ADAPTATIONS: dict[Way, Adaptation] = {
    "full": Adaptation(full),
    "frozen": Adaptation(frozen),
    "lora": Adaptation(lora),
    "prefix": Adaptation(prefix, {"learned_start": True}),
    "bitfit": Adaptation(bitfit),
}


def options_for(way: Way, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields of `MemencConfig` with those that a way to adapt needs.

    Raises:
        ValueError: a field is given that contradicts it.
    """
    needed = ADAPTATIONS[way].model_options
    given = dict(model_options or {})
    for field_name, value in needed.items():
        if given.setdefault(field_name, value) != value:
            raise ValueError(
                f"adapt={way!r} needs {field_name}={value!r}, received {given[field_name]!r}; leave it out"
            )
    return given


@contextmanager
def adapted(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train `model` the way of the settings inside the context; behind it all can be trained that could be before.

    Args:
        model: with a backbone.
        settings: of training; `adapt` is one of `ADAPTATIONS`.

    Raises:
        ValueError: the model has nothing that this way trains.
    """
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with ADAPTATIONS[settings.adapt].adapt(model, settings):
            yield
    finally:
        for parameter, before in trainable:
            parameter.requires_grad_(before)


__all__ = ["ADAPTATIONS", "Adaptation", "adapted", "options_for"]
