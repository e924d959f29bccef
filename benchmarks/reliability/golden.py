"""R22: small state files of every design as this version writes them, which later versions read or refuse.

    python -m benchmarks.reliability.golden tests/golden/0.1.0

Beside each state lie the configuration of its model, what is read next and what comes out. Weights are a formula of
their names, so that no random number generator has to stay as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from memenc import MemencConfig, MemencModel, MemoryState, available_memories

SEGMENT, VOCABULARY = 8, 24
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
COMPRESSIVE = {"window": 6, "slots": 3, "rate": 2}
DESIGNS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "windowed": ("windowed", {"window": 6}),
    "moving_average": ("moving_average", {"average": "weighted", "segments": 2, "slots": 4}),
    "compressive": ("compressive", COMPRESSIVE),
    "pyramid": ("pyramid", {"window": 4, "levels": 2, "slots": 2, "rate": 2}),
    "global": ("global", {"keep": "attended", "pinned": 3, "window": 4}),
    "nearest": ("nearest", {"nearest": 2, "entries": 12}),
    "linear": ("linear", {"rule": "delta"}),
    "gated": ("gated", {"slots": 2}),
    "tokens": ("tokens", {"tokens": 2}),
    "summary": ("summary", {"tokens": 2}),
    "associative": ("associative", {"tokens": 2, "key_dim": 2}),
    "windowed+linear": ("windowed+linear", {"windowed": {"window": 4}}),
}
READ, NEXT = 21, 13


def configuration(design: str) -> dict[str, Any]:
    """Configuration of a tiny model of one design, as JSON."""
    memory, options = DESIGNS[design]
    backbone = AutoModel.from_config(AutoConfig.for_model("bert", **SIZES))
    model = MemencModel.from_backbone(
        backbone,
        memory=memory,
        memory_options=options,
        memory_layers="all",
        segment_length=SEGMENT,
        document_queries=2,
        special_tokens={"prefix": [2], "suffix": [3], "padding": 0},
    )
    kept = {"transformers_version", "architectures", "dtype", "_name_or_path"}
    return {name: value for name, value in model.config.to_dict().items() if name not in kept}


@torch.no_grad()
def model_of(config: dict[str, Any]) -> MemencModel:
    """The model of a configuration, with weights that follow from their names' order."""
    model = MemencModel(MemencConfig.from_dict(config)).eval()
    for index, (_, tensor) in enumerate(sorted(model.state_dict().items())):
        if tensor.is_floating_point():
            count = torch.arange(tensor.numel(), dtype=torch.float64)
            tensor.copy_((0.4 * torch.sin(0.7 * count + 1.3 * index)).reshape(tensor.shape))
    return model


def tokens(count: int, first: int) -> torch.Tensor:
    """Token ids (2, count) that follow from their places."""
    places = torch.arange(2 * count).reshape(2, count) + first
    return 4 + places * places % (VOCABULARY - 4)


@torch.no_grad()
def write(folder: Path) -> None:
    """Write state and description of every design.

    Raises:
        ValueError: a memory of this version is in no design.
    """
    recorded = {memory for design in DESIGNS for memory in design.split("+")}
    if missing := [memory for memory in available_memories() if memory not in recorded]:
        raise ValueError(f"no golden state of {', '.join(missing)}: give it a row in DESIGNS, with small options")
    folder.mkdir(parents=True, exist_ok=True)
    for design in DESIGNS:
        config = configuration(design)
        model = model_of(config)
        state = model(tokens(READ, 0)).memory
        assert isinstance(state, MemoryState)
        state.save(folder / f"{design}.safetensors")
        vector = model(tokens(NEXT, 5), memory=state).pooler_output
        content = {"config": config, "vector": [[round(number, 7) for number in row] for row in vector.tolist()]}
        (folder / f"{design}.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
