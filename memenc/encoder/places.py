"""Where a model has memories: in which attention layers, and over the top; all of it follows from the configuration."""

from __future__ import annotations

import torch

from memenc.backbones.loading import layer_sizes
from memenc.config import MemencConfig
from memenc.memory import (
    MEMORIES,
    LayerMemory,
    LayerSizes,
    RowSizes,
    RowTokens,
    build_memory,
    build_row_tokens,
    designs_of,
)
from memenc.memory.budget import refuse_idle_budget, within_budget
from memenc.memory.learned_start import LearnedStart
from memenc.memory.trial import try_out


def layer_places(config: MemencConfig) -> dict[int, LayerSizes]:
    """Sizes of the layers that have a memory, by number."""
    layers = config.attention_layers or []
    places = {}
    for index in config.layers_with_memory():
        local = layers[index]["sliding_window"] is not None
        if not (local and config.sliding_window_layers == "none"):
            places[index] = layer_sizes(layers[index], config.segment_length, first=index == 0)
    return places


def top_place(config: MemencConfig, hidden: int) -> LayerSizes:
    """Sizes over the top: one head, as wide as a token state."""
    return LayerSizes(1, 1, hidden, config.segment_length, pools=True)


def choose_sizes(config: MemencConfig, hidden: int) -> None:
    """Put into the configuration what a byte budget in its memory options allows.

    Raises:
        ValueError: it allows too little, or sizes that are given leave most of it unused.
    """
    places = [*layer_places(config).values(), top_place(config, hidden)]
    chosen = within_budget(config.memory, places, config.memory_options)
    refuse_idle_budget(config.memory, places, config.memory_options, chosen)
    config.memory_options = chosen


def try_designs(config: MemencConfig, hidden: int) -> None:
    """Try out designs that are not memenc's own in the first of these places and over the top.

    Raises:
        ValueError: methods of one do not fit each other.
    """
    places = [*list(layer_places(config).values())[:1], top_place(config, hidden)]
    for name, given in designs_of(config.memory, config.memory_options).items():
        # What is written with tokens in the rows is tried out by `memenc.testing` only.
        if MEMORIES[name].source != "" and MEMORIES[name].row is None:
            with torch.random.fork_rng(devices=()):
                for sizes in places:
                    try_out(name, build_memory(name, sizes, given))


def layer_memories(config: MemencConfig) -> list[LayerMemory]:
    """One memory per attention layer, `none` where there is none."""
    places = layer_places(config)
    memories: list[LayerMemory] = []
    for index, layer in enumerate(config.attention_layers or []):
        if index not in places:
            memories.append(build_memory("none", layer_sizes(layer, config.segment_length)))
            continue
        memory = build_memory(config.memory, places[index], config.memory_options)
        memories.append(with_learned_start(memory) if config.learned_start else memory)
    return memories


def with_learned_start(memory: LayerMemory) -> LayerMemory:
    """The memory starting with something learned, if it keeps anything."""
    return LearnedStart(memory) if holds_something(memory) else memory


def holds_something(memory: LayerMemory) -> bool:
    """Whether a layer's memory has a state that could start with something; memory tokens start with learned ones."""
    return bool(memory.initial_state(1, torch.zeros(1)))


def row_tokens(config: MemencConfig, width: int, hidden: int) -> tuple[RowTokens | None, str]:
    """Tokens beside every segment, and the name of the state they come from; `width` is that of input embeddings."""
    causal = any(layer["causal"] for layer in config.attention_layers or [])
    found = build_row_tokens(config.memory, RowSizes(width, hidden, causal), config.memory_options)
    if found is None:
        return None, ""
    tokens, prefix = found
    return tokens, f"top.{prefix}".rstrip(".")
