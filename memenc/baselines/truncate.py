"""Truncation: the plain backbone, fine-tuned on the first tokens of every document."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from transformers import AutoConfig, AutoTokenizer

from memenc.backbones.loading import maximum_segment_length
from memenc.baselines.plain import without_memory
from memenc.data.tokens import (
    instruction_tokens,
    special_tokens_named,
    special_tokens_of,
    stream_tokens_with_offsets,
)


def truncate(classifier: Any, tokens: int = 512) -> Any:
    """The same estimator without memory on what fits one segment of `tokens` tokens, special ones included.

    Backbones with fewer positions read as many as they have.
    """
    tokens = min(tokens, maximum_segment_length(AutoConfig.from_pretrained(classifier.backbone)) or tokens)
    plain = without_memory(classifier, segment_length=tokens, readout="mean")
    instruction = (classifier.model_options or {}).get("instruction")
    cut = FunctionTransformer(
        partial(first_tokens, backbone=classifier.backbone, tokens=tokens, instruction=instruction)
    )
    return make_pipeline(cut, plain)


def first_tokens(
    texts: Sequence[str], backbone: str, tokens: int, instruction: str | Sequence[int] | None = None
) -> list[str]:
    """The part of every text that its first `tokens` tokens cover, special tokens and an instruction counted."""
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    prefix, suffix = special_tokens_of(tokenizer)
    own = tokens - len(prefix) - len(suffix)
    if instruction is not None:
        ids = instruction_tokens(instruction, tokenizer) if isinstance(instruction, str) else instruction
        own -= len(ids) + len(special_tokens_named(tokenizer, 1).get("separator", suffix))
    return [text[: _end_of(text, tokenizer, own)] for text in texts]


def _end_of(text: str, tokenizer: Any, own_tokens: int) -> int:
    seen = 0
    for _, offsets in stream_tokens_with_offsets(text, tokenizer):
        if seen + len(offsets) > own_tokens:
            return offsets[own_tokens - seen][0]
        seen += len(offsets)
    return len(text)
