"""Encoders of the usual sizes with random weights: with a memory, and as transformers has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from memenc import MemencModel
from memenc.encoder.encoded import Keep
from memenc.segments import cut_into_segments
from memenc_kernels.dispatch import use_implementation

SEGMENT = {"cuda": 512, "cpu": 64}
# The defaults of these configurations are the base sizes; Longformer's defaults lack its positions.
OPTIONS: dict[str, dict[str, Any]] = {
    "bert": {"attention_probs_dropout_prob": 0.0},
    "modernbert": {},
    "longformer": {"max_position_embeddings": 4_098, "attention_probs_dropout_prob": 0.0},
}
TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
LONGFORMER_LAYERS = {"cuda": 12, "cpu": 2}
MEMORIES: dict[str, dict[str, dict[str, Any]]] = {
    "cuda": {
        "none": {},
        "compressive": {"window": 512, "slots": 256, "rate": 4},
        "windowed": {"window": 512},
        "linear": {},
        "gated": {"slots": 64},
    },
    "cpu": {
        "none": {},
        "compressive": {"window": 64, "slots": 32, "rate": 4},
        "windowed": {"window": 64},
        "linear": {},
        "gated": {"slots": 8},
    },
}


@dataclass(frozen=True)
class Reading:
    """What is read, and with what; tokens are those of one document.

    Args:
        backbone: bert, modernbert or longformer.
        memory: name of a design; or "plain", the backbone alone on rows of `row_tokens`.
        implementation: triton or torch; of plain backbones torch.
        batch: documents.
        tokens: of each.
        segments_per_call: a number, or auto.
        device: cuda (bfloat16, base size) or cpu (float32, tiny).
        row_tokens: of a plain backbone's rows.
    """

    backbone: str
    memory: str
    implementation: str
    batch: int
    tokens: int
    segments_per_call: int | str
    device: str
    row_tokens: int = 0


def config_of(backbone: str, device: str, positions: int = 0) -> Any:
    options = OPTIONS[backbone] | (TINY if device == "cpu" else {})
    if backbone == "longformer":
        options |= {"attention_window": [512 if device == "cuda" else 16] * LONGFORMER_LAYERS[device]}
    if positions and backbone == "bert":
        options["max_position_embeddings"] = max(512, positions)
    return AutoConfig.for_model(backbone, **options)


# One at a time: consecutive rows share a model, and none lies beside another in memory.
@functools.lru_cache(maxsize=1)
def memenc_model(backbone: str, memory: str, device: str) -> MemencModel:
    with torch.device(device):
        plain = AutoModel.from_config(config_of(backbone, device))
        options = MEMORIES[device][memory]
        model = MemencModel.from_backbone(plain, memory=memory, memory_options=options, segment_length=SEGMENT[device])
    return model.to(device, dtype_of(device))


@functools.lru_cache(maxsize=1)
def plain_model(backbone: str, row_tokens: int, device: str) -> PreTrainedModel:
    with torch.device(device):
        attention = {} if backbone == "longformer" else {"attn_implementation": "sdpa"}
        model = AutoModel.from_config(config_of(backbone, device, row_tokens), **attention)
    return model.to(device, dtype_of(device))


def dtype_of(device: str) -> torch.dtype:
    return torch.bfloat16 if device == "cuda" else torch.float32


def random_ids(batch: int, tokens: int, device: str) -> Tensor:
    return torch.randint(1_000, 30_000, (batch, tokens), device=device)


def reader(reading: Reading) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The model, and a call that reads everything and returns what a loss can be made of."""
    if reading.memory == "plain":
        memenc_model.cache_clear()
        plain = plain_model(reading.backbone, reading.row_tokens, reading.device)
        rows = random_ids(reading.batch * reading.tokens // reading.row_tokens, reading.row_tokens, reading.device)
        return plain, lambda: plain(rows).last_hidden_state[:, 0]
    plain_model.cache_clear()
    model = memenc_model(reading.backbone, reading.memory, reading.device)
    model.config.segments_per_call = reading.segments_per_call
    ids = random_ids(reading.batch, reading.tokens, reading.device)

    def call() -> Tensor:
        with use_implementation(reading.implementation):  # pyright: ignore[reportArgumentType]
            return model(ids, output_token_states=False).pooler_output

    return model, call


def forward(reading: Reading) -> Callable[[], Any]:
    model, call = reader(reading)
    model.eval()
    return torch.no_grad()(call)


def training_step(reading: Reading, replay: bool) -> Callable[[], Any]:
    """Forward, backward and a step of AdamW, with activations kept or computed again group by group."""
    model, call = reader(reading)
    model.train()
    if isinstance(model, MemencModel):
        model.encoder.checkpointing = replay
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=1e-6, fused=reading.device == "cuda")

    def step() -> None:
        call().float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def streaming_call(reading: Reading) -> Callable[[], Any]:
    """One call with one segment of every document, in the middle of reading."""
    model, ids, memory = _in_the_middle(reading)

    def call() -> Tensor:
        with use_implementation(reading.implementation):  # pyright: ignore[reportArgumentType]
            return model(ids, memory=memory, output_token_states=False).pooler_output

    return torch.no_grad()(call)


def encoder_step(reading: Reading) -> Callable[[], Tensor]:
    """The same without the checks of inputs, which ask the device; the state is written where it was read."""
    model, ids, memory = _in_the_middle(reading)
    state = {name: tensor.clone() for name, tensor in memory.tensors.items()}
    everything = torch.ones_like(ids, dtype=torch.bool)
    pending = model.encoder.pending(state)
    segments = cut_into_segments(ids, everything, model.encoder.special, model.config.segment_length, pending)

    def step() -> Tensor:
        with use_implementation(reading.implementation):  # pyright: ignore[reportArgumentType]
            encoded = model.encoder(segments, state, 1, Keep(token_states=False))
            pooled = model.read_out(encoded.state)
        for name, tensor in encoded.state.items():
            state[name].copy_(tensor)
        return pooled

    return torch.no_grad()(step)


@dataclass(frozen=True)
class Captured:
    """A graph with what it reads and writes: state and inputs are the step's alone, and freed with it."""

    graph: torch.cuda.CUDAGraph
    step: Callable[[], Tensor]
    result: Tensor

    def __call__(self) -> Tensor:
        self.graph.replay()
        return self.result


def graphed_step(reading: Reading) -> Callable[[], Tensor]:
    """That step, captured as a CUDA graph and replayed."""
    step = encoder_step(reading)
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pooled = step()
    return Captured(graph, step, pooled)


def _in_the_middle(reading: Reading) -> tuple[MemencModel, Tensor, Any]:
    plain_model.cache_clear()
    model = memenc_model(reading.backbone, reading.memory, reading.device).eval()
    model.config.segments_per_call = "auto"
    ids = random_ids(reading.batch, SEGMENT[reading.device], reading.device)
    with torch.no_grad(), use_implementation(reading.implementation):  # pyright: ignore[reportArgumentType]
        memory = model(ids.repeat(1, 8), output_token_states=False).memory
    return model, ids, memory
