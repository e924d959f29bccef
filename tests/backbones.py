"""Tiny random backbones of every supported kind, and of the kinds that must be refused."""

import functools
import importlib
from dataclasses import dataclass, field

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from memenc.testing import documents

VOCABULARY, SEGMENT, FIRST_ID = documents.VOCABULARY, documents.SEGMENT, documents.FIRST_ID
HIDDEN = 32
HEADS = 4
LAYERS = 2

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
}
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "hidden_dropout",
)
# Their defaults name tokens of a full vocabulary.
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@dataclass(frozen=True)
class Kind:
    """What makes a tiny configuration of one kind, and what must be found in it."""

    options: dict = field(default_factory=dict)
    causal: bool = False
    rotary: bool = False
    biases: bool = True
    key_value_heads: int = HEADS
    sliding_windows: tuple = (None, None)
    # Gemma normalises, and takes its softmax, in float32 whatever the type of its weights.
    precision: torch.dtype = torch.float64
    # By which inner products are multiplied, if it is not the usual.
    scaling: float | None = None


GROUPED = {"num_key_value_heads": 2}

BACKBONES = {
    "bert": Kind(),
    "roberta": Kind({"pad_token_id": 1}),
    "xlm-roberta": Kind({"pad_token_id": 1}),
    "distilbert": Kind({"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 48}),
    "electra": Kind({"embedding_size": 16}),
    "albert": Kind({"embedding_size": 16}),
    "modernbert": Kind(
        {
            **TOKENS,
            "num_hidden_layers": 3,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
        rotary=True,
        biases=False,
        # Four tokens to either side and the token itself.
        sliding_windows=(None, 5, None),
    ),
    "eurobert": Kind({**TOKENS, **GROUPED, "mask_token_id": 3}, rotary=True, biases=False, key_value_heads=2),
    "gte": Kind(rotary=True),
    "nomic_bert": Kind(rotary=True),
    "llama": Kind({**TOKENS, **GROUPED}, causal=True, rotary=True, biases=False, key_value_heads=2),
    "qwen3": Kind({**TOKENS, **GROUPED, "head_dim": 8}, causal=True, rotary=True, biases=False, key_value_heads=2),
    "mistral": Kind(
        {**TOKENS, **GROUPED, "sliding_window": 6},
        causal=True,
        rotary=True,
        biases=False,
        key_value_heads=2,
        sliding_windows=(6, 6),
    ),
    "gemma2": Kind(
        {**TOKENS, **GROUPED, "head_dim": 8, "sliding_window": 6, "attn_logit_softcapping": None},
        causal=True,
        rotary=True,
        biases=False,
        key_value_heads=2,
        sliding_windows=(6, None),
        precision=torch.float32,
        scaling=1 / 16,
    ),
}

ROTARY = tuple(name for name, kind in BACKBONES.items() if kind.rotary)
CAUSAL = tuple(name for name, kind in BACKBONES.items() if kind.causal)

DISPATCH = "does not dispatch its attention"
# kind -> (options, a part of the message that must give the reason)
REFUSED = {
    "gemma2": ({**TOKENS, **GROUPED, "head_dim": 8}, "softcap"),
    "mpnet": ({}, DISPATCH),
    "deberta-v2": ({}, DISPATCH),
    "roformer": ({}, DISPATCH),
    "big_bird": ({}, DISPATCH),
    "convbert": ({"embedding_size": 32}, DISPATCH),
    "longformer": ({"attention_window": [8, 8]}, DISPATCH),
}


# Norms that are computed in float32 whatever the type of their weights.
IN_SINGLE = {
    "llama": "LlamaRMSNorm",
    "qwen3": "Qwen3RMSNorm",
    "mistral": "MistralRMSNorm",
    "eurobert": "EuroBertRMSNorm",
}


def compute_in_double(replace=setattr):
    """Let float64 be float64 all through transformers' models, from now on.

    Llama, Qwen3, Mistral and EuroBERT normalise, and ModernBERT rotates, in float32: where two ways of the same sums
    fall on two sides of a rounding there, a number differs by 6e-8 of itself, which has nothing to do with memories.
    """
    for kind, name in IN_SINGLE.items():
        if kind in CONFIG_MAPPING:
            norm = getattr(importlib.import_module(f"transformers.models.{kind}.modeling_{kind}"), name)
            replace(norm, "forward", functools.partialmethod(_norm, norm.forward))
    modernbert = importlib.import_module("transformers.models.modernbert.modeling_modernbert")
    replace(modernbert, "apply_rotary_pos_emb", functools.partial(_rotated, modernbert.apply_rotary_pos_emb))


def _norm(module, usual, states):
    if states.dtype != torch.float64:
        return usual(module, states)
    return torch.nn.functional.rms_norm(states, module.weight.shape, module.weight, module.variance_epsilon)


def _rotated(usual, queries, keys, cos, sin, **options):
    if queries.dtype != torch.float64:
        return usual(queries, keys, cos, sin, **options)
    cos, sin = (x.unsqueeze(options.get("unsqueeze_dim", 1)).double() for x in (cos, sin))
    turned = (torch.cat([-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]], dim=-1) for x in (queries, keys))
    return tuple(x * cos + y * sin for x, y in zip((queries, keys), turned, strict=True))


def tiny_config(kind, **overrides):
    """Configuration of one kind, without dropout; a test of a kind that an older transformers lacks is left out."""
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"transformers {transformers.__version__} has no {kind}")
    options = BACKBONES[kind].options if kind in BACKBONES else {}
    config = AutoConfig.for_model(kind, **{**SIZES, **options, **overrides})
    for name in DROPOUTS:
        if isinstance(getattr(config, name, None), float):
            setattr(config, name, 0.0)
    return config


def tiny_backbone(kind="bert", strength=0.15, **overrides):
    """Random model in evaluation mode; noise of `strength` on all parameters makes attention far from uniform."""
    model = AutoModel.from_config(tiny_config(kind, **overrides))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return model.eval()
