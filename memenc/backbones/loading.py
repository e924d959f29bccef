"""Take any Hugging Face backbone that dispatches its attention, find its layers by a dry run, refuse the others."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from memenc.backbones.attention import ATTENTION_NAME, AttentionContext, attention_function, register
from memenc.backbones.rotary import Rotary, match_rotary
from memenc.backbones.row import LayerCall
from memenc.config import places_memory_by_position
from memenc.memory import LayerSizes

DRY_RUN_TOKENS = 4


@final
@dataclass
class DryRun(AttentionContext):
    """Counts attention calls and keeps what each was called with."""

    calls: list[LayerCall] = field(default_factory=list)

    def attend(self, call: LayerCall) -> Tensor:
        """Plain attention, recorded."""
        self.calls.append(call)
        module = nn.Module()
        output, _ = attention_function(
            module, call.queries, call.keys, call.values, None, call.scaling, is_causal=call.causal
        )
        return output.transpose(1, 2)


def load_backbone(source: str | PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
    """A backbone whose attention is ours: loaded by name or path, or taken over.

    Raises:
        ValueError: the backbone does not dispatch its attention, so that a memory could not reach it.
    """
    register()
    if isinstance(source, PreTrainedModel):
        # Of a model with a head only the encoder inside is wanted.
        inside = cast(PreTrainedModel, source.base_model)
        _require_dispatch(type(inside))
        inside.set_attn_implementation(ATTENTION_NAME)
        return _without_pooler(inside)
    # A backbone that ignores us must be refused before the (large) weights are fetched, and with our own words.
    return _without_pooler(_load_by_name(source, kwargs))


def _load_by_name(name: str, kwargs: dict[str, Any]) -> PreTrainedModel:
    from transformers import AutoConfig

    # Neither code of a repository nor weights in a pickle are read unless somebody asks for them by name.
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    _require_dispatch(_model_class(config))
    return AutoModel.from_pretrained(
        name, attn_implementation=ATTENTION_NAME, **{"use_safetensors": True, "trust_remote_code": False, **kwargs}
    )


def backbone_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """A backbone with random weights and our attention."""
    register()
    _require_dispatch(_model_class(config))
    return _without_pooler(AutoModel.from_config(config, attn_implementation=ATTENTION_NAME))


def _model_class(config: PreTrainedConfig) -> Any:
    try:
        return AutoModel._model_mapping[type(config)]
    except KeyError:
        raise ValueError(f"transformers has no AutoModel for the backbone type {config.model_type!r}") from None


def _require_dispatch(model_class: Any) -> None:
    if not (model_class._can_set_attn_implementation() and model_class._supports_attention_backend):
        raise ValueError(
            f"{model_class.__name__} cannot be a backbone: it does not dispatch its attention through transformers' "
            "attention interface and would ignore any memory. Backbones that work: BERT, RoBERTa, XLM-RoBERTa, "
            "DistilBERT, ELECTRA, ALBERT, ModernBERT, EuroBERT, GTE, Nomic BERT, Llama, Qwen3, Mistral and others "
            "built like them"
        )


def _without_pooler(backbone: PreTrainedModel) -> PreTrainedModel:
    # A pooler reads the first token of one segment; nothing uses it here, and unused weights trouble DDP.
    if "add_pooling_layer" in inspect.signature(type(backbone).__init__).parameters:
        setattr(backbone, "pooler", None)  # noqa: B010 - nn.Module types its attributes as modules
    return backbone


def find_attention_layers(backbone: PreTrainedModel) -> list[dict[str, Any]]:
    """Dry run: one entry per attention call, in order, as `MemencConfig.attention_layers` keeps them.

    Raises:
        ValueError: layers that do not call our attention, or positions that cannot be re-based.
    """
    was_training = backbone.training
    backbone.eval()
    try:
        rotary = any(name.endswith("inv_freq") for name, _ in backbone.named_buffers())
        runs = [_dry_run(backbone, position) for position in ((0, 1) if rotary else (None,))]
    finally:
        backbone.train(was_training)
    expected = backbone.config.num_hidden_layers
    if len(runs[0]) != expected:
        raise ValueError(
            f"{type(backbone).__name__} has {expected} layers but called the memory attention {len(runs[0])} times; "
            "a memory would miss some of them"
        )
    return [_describe(backbone, index, [run[index] for run in runs]) for index in range(expected)]


def _dry_run(backbone: PreTrainedModel, position: int | None) -> list[LayerCall]:
    """Attention calls for a short text, all of whose tokens stand at one position (None: where they do)."""
    ids = torch.arange(1, DRY_RUN_TOKENS + 1, device=backbone.device)[None] % backbone.config.vocab_size
    recorder = DryRun()
    arguments: dict[str, Any] = {} if position is None else {"position_ids": torch.full_like(ids, position)}
    with torch.no_grad():
        backbone(ids, attention_mask=torch.ones_like(ids), memory_context=recorder, **arguments)
    return recorder.calls


def _describe(backbone: PreTrainedModel, index: int, calls: list[LayerCall]) -> dict[str, Any]:
    call = calls[0]
    description: dict[str, Any] = {
        "heads": call.queries.shape[1],
        "key_value_heads": call.keys.shape[1],
        "head_dim": call.keys.shape[3],
        "sliding_window": call.sliding_window,
        "causal": call.causal,
        "rotary": None,
    }
    if call.scaling is not None and not math.isclose(call.scaling, call.keys.shape[3] ** -0.5):
        description["scaling"] = call.scaling
    if len(calls) == 2:
        try:
            rotary = match_rotary(backbone, calls[0].keys, calls[1].keys)
        except ValueError as error:
            raise ValueError(f"layer {index} of {type(backbone).__name__} cannot carry memory: {error}") from error
        if rotary is not None:
            description["rotary"] = {"buffer": rotary.buffer, "interleaved": rotary.interleaved}
    return description


def layer_sizes(description: dict[str, Any], segment_length: int, first: bool = False) -> LayerSizes:
    """What a memory must know of the layer that `find_attention_layers` described."""
    return LayerSizes(
        heads=description["heads"],
        key_value_heads=description["key_value_heads"],
        head_dim=description["head_dim"],
        segment_length=segment_length,
        sees_order=places_memory_by_position(description),
        first=first,
        scaling=description.get("scaling"),
    )


def layer_rotary(description: dict[str, Any]) -> Rotary | None:
    """Rotation of the layer that `find_attention_layers` described."""
    return None if description["rotary"] is None else Rotary(**description["rotary"])


def maximum_segment_length(config: PreTrainedConfig) -> int | None:
    """Tokens the backbone's position embeddings allow in one row, or None where nothing limits them."""
    positions = getattr(config, "max_position_embeddings", None)
    return None if positions is None else positions - first_position(config)


def first_position(config: PreTrainedConfig) -> int:
    """Number of the position of a row's first token."""
    # RoBERTa and its kin count positions from behind the padding token's.
    return (config.pad_token_id or 0) + 1 if config.model_type in ROBERTA_LIKE else 0


ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text", "roberta-prelayernorm")
