"""What a model refuses: configurations that do not fit their backbone, and inputs that do not fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memenc.backbones.loading import maximum_segment_length
from memenc.config import MemencConfig


def check_segment_length(config: MemencConfig, backbone: PreTrainedModel) -> None:
    """Refuse segments that the backbone has no positions for, or no room in.

    Raises:
        ValueError: they are such.
    """
    limit = maximum_segment_length(backbone.config)
    if limit is not None and config.segment_length > limit:
        raise ValueError(f"segment_length={config.segment_length}, but the backbone has positions for {limit} tokens")
    named = config.special_tokens or {}
    special = len(named.get("prefix", ())) + len(named.get("suffix", ()))
    if config.segment_length <= special:
        raise ValueError(f"segment_length={config.segment_length} leaves no room beside {special} special tokens")


def check_readout_layers(config: MemencConfig) -> None:
    """Refuse layers to read out that the backbone does not have.

    Raises:
        ValueError: there is one.
    """
    count = len(config.attention_layers or [])
    wrong = [layer for layer in config.readout_layers or () if not -count - 1 <= layer <= count]
    if wrong:
        raise ValueError(f"readout_layers has {wrong}, but the backbone has states 0 to {count}, or -1 from the last")


def checked_mask(input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
    """The mask (batch, tokens) of a batch of documents, bool.

    Raises:
        ValueError: ids that are none, no documents, token types, or a mask that does not fit.
    """
    given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
    for name, value in given.items():
        if not isinstance(value, Tensor) and (value is not None or value is input_ids):
            found = type(value).__name__
            raise ValueError(f"{name} must be a tensor (batch, tokens), received {found}; give torch.tensor(...)")
    if input_ids.dim() != 2 or input_ids.is_floating_point():
        raise ValueError(
            f"input_ids must be whole numbers of shape (batch, tokens), received {input_ids.dtype} "
            f"{tuple(input_ids.shape)}"
        )
    if len(input_ids) == 0:
        raise ValueError(f"received input_ids {tuple(input_ids.shape)}, a batch of no documents; give at least one")
    if token_type_ids is not None and bool(token_type_ids.any()):
        raise ValueError("token_type_ids other than 0 received: memenc reads documents, not pairs of texts")
    if attention_mask is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask {tuple(attention_mask.shape)} does not fit input_ids {tuple(input_ids.shape)}"
        )
    return attention_mask.bool()


@contextmanager
def known_tokens(ids: Tensor, vocabulary: int) -> Iterator[None]:
    """Name the token that an embedding did not find, where it says so at once, as on CPUs.

    Args:
        ids: of all tokens that are read inside.
        vocabulary: how many tokens the embedding has.

    Raises:
        ValueError: there is such a token.
    """
    try:
        yield
    except IndexError as error:
        unknown = ids[(ids < 0) | (ids >= vocabulary)]
        if not len(unknown):
            raise
        raise ValueError(
            f"input_ids has {int(unknown[0])}, but the backbone knows tokens 0 to {vocabulary - 1}; use the tokenizer "
            "of this model, or resize_token_embeddings for tokens that were added"
        ) from error
