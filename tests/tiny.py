"""A tiny random encoder with a word tokenizer on disk, and tiny documents that it can learn to tell apart."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

WORDS = [f"word{index}" for index in range(40)]
GOOD, BAD = "excellent", "terrible"


def save_tiny_backbone(path: Path, positions: int = 64, words: Sequence[str] = WORDS) -> str:
    """Write a two-layer BERT and its tokenizer to `path`."""
    vocabulary = {
        word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", GOOD, BAD, "report", *words])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(path)
    config = AutoConfig.for_model(
        "bert",
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=positions,
    )
    # Tests that something is learned want the same start each time; nothing is claimed of other starts.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(path)
    return str(path)


def tiny_documents(count: int, words: tuple[int, int], seed: int) -> tuple[list[str], list[str]]:
    """Documents of random words with one decisive word at a random place, and their labels "good" and "bad"."""
    generator = random.Random(seed)
    texts, labels = [], []
    for index in range(count):
        body = generator.choices(WORDS, k=generator.randint(*words))
        good = index % 2 == 0
        body.insert(generator.randrange(len(body) + 1), GOOD if good else BAD)
        texts.append(" ".join(body))
        labels.append("good" if good else "bad")
    return texts, labels


TINY_MODEL = {"segment_length": 16, "document_queries": 2}
TINY_MEMORY = {"window": 16, "slots": 4, "rate": 4}
TINY_TRAINING = {"epochs": 8, "learning_rate": 1e-3, "new_learning_rate": 1e-2, "documents_per_step": 8}
