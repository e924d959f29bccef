"""What a new model may begin with: options that are known, and those that differ from a saved model's."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from memenc.config import MemencConfig, python_values
from memenc.encoder.places import with_learned_start
from memenc.encoder.segment_encoder import SegmentEncoder
from memenc.saved import HUB_OPTIONS, require_model

# Fields of the configuration that choose no weights, or those of the head.
OF_THE_HEAD = (
    *("num_labels", "id2label", "label2id", "problem_type", "classifier_dropout"),
    *("pair_loss", "pair_temperature", "instruction", "question_position"),
)
# Fields that choose no weights at all: how a model reads and trains.
OF_READING = ("bptt_segments", "segments_per_call", "attention_dropout")
# Those of a head that say what it was trained for, beside its labels.
OF_THE_LOSS = ("problem_type", "pair_loss", "question_position")
# Fields of any model of transformers that somebody may want to choose.
OF_TRANSFORMERS = ("num_labels", "id2label", "label2id", "problem_type", "dtype")
# Parameters of from_backbone, and what the backbone says.
NO_OPTIONS = ("backbone", "attention_layers", "memory", "memory_options")
OWN_ATTENTION = "memenc brings its own attention; leave attn_implementation out"


def checked_backbone(
    backbone: str | Path | os.PathLike[str] | PreTrainedModel, loading: Mapping[str, Any]
) -> str | PreTrainedModel:
    """A name or folder as text, or a model, that can be a backbone as far as can be told without loading it.

    Raises:
        ValueError: it is nothing of these, there is no such folder and no such model within reach, or its attention is
            chosen; or options for loading what is loaded.
    """
    backbone = os.fspath(backbone) if isinstance(backbone, os.PathLike) else backbone
    if "attn_implementation" in loading:
        raise ValueError(f"backbone_options attn_implementation: {OWN_ATTENTION}")
    if isinstance(backbone, str):
        require_model(backbone, loading)
    elif not isinstance(backbone, PreTrainedModel):
        raise ValueError(f"backbone={backbone!r}: give the name or folder of an encoder, or a model of transformers")
    elif loading:
        named = ", ".join(loading)
        raise ValueError(f"backbone_options {named}: the backbone is a model, loaded already; leave them out")
    return backbone


def check_options(options: Iterable[str]) -> None:
    """Refuse options that no configuration has, since it would take any name and change nothing.

    Raises:
        ValueError: there is one.
    """
    known = [field.name for field in fields(MemencConfig)]
    unknown = sorted(set(options) - {*known, "num_labels"})
    if "attn_implementation" in unknown:
        raise ValueError(f"from_backbone: {OWN_ATTENTION}")
    if unknown:
        own = [name for name in known if name in MemencConfig.__annotations__ and name not in NO_OPTIONS]
        there = ", ".join((*own, *OF_TRANSFORMERS))
        raise ValueError(f"from_backbone has no option {', '.join(unknown)}; there are: {there}")


def chosen_type(dtype: Any) -> torch.dtype | None:
    """The type of weights that is meant, None for that of the backbone.

    Raises:
        ValueError: it is none for weights.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found is None and dtype is None:
        return None
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ValueError(f"dtype={dtype!r}: give a type of weights, such as torch.bfloat16, or leave it out")
    return found


def with_weights_of(model: Any, dtype: torch.dtype | None) -> Any:
    """The model with all weights in this type, None leaves them; buffers, such as rotary frequencies, stay exact."""
    if dtype is not None:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
    return model


def check_loading(folder: str, loading: Iterable[str]) -> None:
    """Refuse keyword arguments for loading a backbone that change nothing where the backbone is in a memenc folder.

    Raises:
        ValueError: there is one.
    """
    others = sorted(set(loading) - {"dtype", "torch_dtype", "device_map", *HUB_OPTIONS})
    if others:
        raise ValueError(
            f"backbone_options {', '.join(others)}: {folder} is a memenc model, whose backbone is made as it "
            "was saved; leave them out"
        )


def may_change(saved: MemencConfig, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options on which no weights depend, or only the head's.

    Raises:
        ValueError: a value that no model can be made with.
    """
    asked, tried = python_values(options), copy.deepcopy(saved)
    # A configuration that is loaded from a file takes any value behind its own checks.
    for name, value in asked.items():
        setattr(tried, name, value)
    tried.check()
    return {name: value for name, value in asked.items() if name in (*OF_THE_HEAD, *OF_READING)}


def does_the_same(kind: type, saved: MemencConfig, head: dict[str, Any]) -> bool:
    """Whether a saved head is one of this kind of model, for this task and these labels."""
    asked = {name: head[name] for name in ("num_labels", "id2label", *OF_THE_LOSS) if name in head}
    if isinstance(asked.get("id2label"), dict):
        asked["id2label"] = {int(number): name for number, name in asked["id2label"].items()}
    known = saved.architectures is None or bool(set(saved.architectures) & {each.__name__ for each in kind.__mro__})
    return known and all(getattr(saved, name) == value for name, value in asked.items())


def put_start_before_memory(model: Any) -> None:
    """Let the memories of a loaded model's layers start with something learned; what they have learned stays."""
    # Not while it is loaded: names that transformers changes then it changes back in what is saved.
    encoder: SegmentEncoder = model.base_model.encoder
    memories = [with_learned_start(memory) for memory in encoder.layer_memories]
    encoder.memories = nn.ModuleList(memories).to(model.device, model.dtype)
    model.config.learned_start = True
