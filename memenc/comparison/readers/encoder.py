"""The small encoder from scratch that all contenders share."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer

from memenc.comparison.settings import EncoderSizes
from memenc.data.memory_tasks import MemoryTask

# How much of its segment a token of the lower layers takes in at the start, itself being 1.
GATHERING = 3.0


def fresh_encoder(task: MemoryTask, sizes: EncoderSizes, positions: int) -> BertModel:
    """A random bidirectional encoder for the words of a task.

    Args:
        task: whose vocabulary it knows.
        sizes: of the encoder.
        positions: tokens of the longest row it reads.
    """
    encoder = BertModel(
        BertConfig(
            vocab_size=task.vocabulary_size,
            hidden_size=sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            intermediate_size=2 * sizes.hidden,
            max_position_embeddings=positions,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            # Unlike a wide encoder a narrow one starts with no contrast at all in its attention at the usual 0.02.
            initializer_range=sizes.hidden**-0.5,
        ),
        add_pooling_layer=False,
    )
    start(encoder)
    return encoder


@torch.no_grad()
def start(encoder: BertModel) -> None:
    """A start from which memories are learned in minutes: the lower layers gather, the upper ones compare.

    In the upper half, where the memories are, queries look for what is like them (keys start as queries, Trockman and
    Kolter 2023, arXiv:2305.09828). In the lower half values pass through attention as they are, three times as strong,
    so that every token, and every memory token, knows its segment. Without either, in two layers instead of four, or
    with twice the learning rate, `associative` named any of the values it had seen and stayed there in most runs.
    """
    layers = [cast(BertLayer, layer).attention for layer in encoder.encoder.layer]
    for attention in layers[len(layers) // 2 :]:
        attention.self.key.load_state_dict(attention.self.query.state_dict())
    for attention in layers[: len(layers) // 2]:
        nn.init.eye_(cast(Tensor, attention.self.value.weight))
        nn.init.eye_(cast(Tensor, attention.output.dense.weight)).mul_(GATHERING)
