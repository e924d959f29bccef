"""The small encoder from scratch that all contenders share."""

from __future__ import annotations

from typing import cast

from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer

from memenc.comparison.settings import EncoderSizes
from memenc.data.memory_tasks import MemoryTask


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
    # Queries then look for what is like them, which a fresh encoder takes long to find out (Trockman and Kolter 2023,
    # arXiv:2305.09828). A full-attention control 32 wide bound values to keys in 400 steps, without this not in 1,700.
    for layer in encoder.encoder.layer:
        attention = cast(BertLayer, layer).attention.self
        attention.key.load_state_dict(attention.query.state_dict())
    return encoder
