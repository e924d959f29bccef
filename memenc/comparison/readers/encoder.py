"""The encoder that all contenders share: a small one from scratch, or a pre-trained one that reads a task's words."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel, ModernBertConfig, ModernBertModel, PreTrainedModel
from transformers.models.bert.modeling_bert import BertLayer

from memenc.backbones.loading import find_attention_layers, first_position, load_backbone, maximum_segment_length
from memenc.comparison.readers.network import NotRun
from memenc.comparison.settings import EncoderSizes
from memenc.data.memory_tasks import MemoryTask
from memenc.data.memory_tasks.base import BLANK, PADDING, QUESTION, SEGMENT

# How much of its segment a token of the lower layers takes in at the start, itself being 1.
GATHERING = 3.0


def shared_encoder(task: MemoryTask, sizes: EncoderSizes, positions: int) -> PreTrainedModel:
    """An encoder for the words of a task.

    Args:
        task: whose vocabulary it knows.
        sizes: of the encoder, or which one it is.
        positions: tokens of the longest row it reads.

    Raises:
        NotRun: a pre-trained encoder has not so many positions, counts them by its own ids, or is causal.
    """
    if sizes.backbone:
        return pre_trained_encoder(task, sizes, positions)
    return local_encoder(task, sizes, positions) if sizes.local_attention else fresh_encoder(task, sizes, positions)


@torch.no_grad()
def pre_trained_encoder(task: MemoryTask, sizes: EncoderSizes, positions: int) -> PreTrainedModel:
    """A pre-trained encoder whose vocabulary is that of the task: one id, and one embedding, for every word.

    A word of several pieces gets their mean. The mark of a segment is the token that begins a text, and so is the mark
    of the question at first; blanks are masks. Without dropout, as all contenders.
    """
    encoder = load_backbone(sizes.backbone)
    limit = maximum_segment_length(encoder.config)
    if limit is not None and positions > limit:
        raise NotRun(f"rows of {positions:,} tokens; {sizes.backbone} has {limit:,} positions")
    if first_position(encoder.config):
        raise NotRun(f"{sizes.backbone} counts positions from its padding token, whose id is another word's here")
    if any(layer["causal"] for layer in find_attention_layers(encoder)):
        raise NotRun(f"{sizes.backbone} is causal: the first token of a question, which is read, sees nothing of it")
    tokenizer = AutoTokenizer.from_pretrained(sizes.backbone)
    pieces = [tokenizer(word, add_special_tokens=False).input_ids for word in task.words]
    begins = (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, 0)
    begin = next(token for token in begins if token is not None)
    marks = {PADDING: tokenizer.pad_token_id, BLANK: tokenizer.mask_token_id}
    for mark in (PADDING, SEGMENT, QUESTION, BLANK):
        known = marks.get(mark)
        pieces[mark] = [begin if known is None else known]
    # A word of which nothing is kept, such as a space of no width, is unknown.
    pieces = [each or [begin if tokenizer.unk_token_id is None else tokenizer.unk_token_id] for each in pieces]
    old = cast(Tensor, encoder.get_input_embeddings().weight)
    new = nn.Embedding(len(pieces), old.shape[1])
    new.weight.copy_(torch.stack([old[each].mean(0) for each in pieces]))
    encoder.set_input_embeddings(new)
    encoder.config.vocab_size = len(pieces)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return encoder


def fresh_encoder(task: MemoryTask, sizes: EncoderSizes, positions: int) -> BertModel:
    """A random bidirectional encoder for the words of a task.

    Args:
        task: whose vocabulary it knows.
        sizes: of the encoder.
        positions: tokens of the longest row it reads.
    """
    encoder = BertModel(
        BertConfig(
            **shape(task, sizes, positions),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )
    start(encoder)
    return encoder


def local_encoder(task: MemoryTask, sizes: EncoderSizes, positions: int) -> ModernBertModel:
    """A random bidirectional encoder whose lower half looks only at what stands near: at most one thing said.

    Positions are rotary and norms come first, as in ModernBERT (Warner et al. 2024, arXiv:2412.13663). Of a story of
    three segments with three places for sentences each, full attention in `fresh_encoder` learned which place was named
    last and no more within 1,400 steps of 128; with this one it was solved after 986.

    Args:
        task: whose vocabulary it knows.
        sizes: of the encoder.
        positions: tokens of the longest row it reads.
    """
    lower = sizes.layers // 2
    return ModernBertModel(
        ModernBertConfig(
            **shape(task, sizes, positions),
            layer_types=["sliding_attention"] * lower + ["full_attention"] * (sizes.layers - lower),
            local_attention=sizes.local_attention,
            pad_token_id=PADDING,
            cls_token_id=SEGMENT,
            bos_token_id=SEGMENT,
            sep_token_id=SEGMENT,
            eos_token_id=SEGMENT,
            initializer_cutoff_factor=3.0,
        )
    )


def shape(task: MemoryTask, sizes: EncoderSizes, positions: int) -> dict[str, Any]:
    """What configurations of small encoders have in common."""
    return {
        "vocab_size": task.vocabulary_size,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": 2 * sizes.hidden,
        "max_position_embeddings": positions,
        # Unlike a wide encoder a narrow one starts with no contrast at all in its attention at the usual 0.02.
        "initializer_range": sizes.hidden**-0.5,
    }


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
