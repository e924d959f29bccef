"""Tiny tokenizers of every family, trained on a few made-up sentences."""

import functools
import random

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SYLLABLES = ["ba", "ke", "lo", "mi", "nu", "re", "sta", "tion", "ing", "pre"]
DIGITS_BY_THREE = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def word():
    return "".join(random.choices(SYLLABLES, k=random.randint(1, 5)))


@functools.cache
def sentences():
    prose = [" ".join(word() for _ in range(12)) for _ in range(200)]
    return [*prose, "naïve café 中文 日本 😀\n\n  x   y", "12345 678 90", "end.\n\n\nnext,  one"] * 2


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    around = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


def byte_level(add_prefix_space=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    special = ["<s>", "</s>", "<pad>", "<mask>"]
    tokenizer.train_from_iterator(sentences(), bpe_trainer(special, pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", mask_token=mask)


def digits_by_three():
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(DIGITS_BY_THREE), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    numbers = [str(random.randrange(100, 1000)) for _ in range(2000)]
    trainer = bpe_trainer([], pre_tokenizers.ByteLevel.alphabet(), vocab_size=700)
    tokenizer.train_from_iterator([*sentences(), *numbers], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def metaspace(prepend_scheme="always"):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    tokenizer.train_from_iterator(sentences(), bpe_trainer(["<unk>", "<s>", "</s>"], []))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def prepended_space():
    """As llama: the whole text is one word to the model, its spaces are characters of it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(sentences(), bpe_trainer(special, [], vocab_size=600))
    tokenizer.pre_tokenizer = None
    around = [("<s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    collapse = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), collapse])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def bpe_trainer(special, alphabet, vocab_size=500):
    return trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )


BUILDERS = {
    "wordpiece": wordpiece,
    "byte level": byte_level,
    "byte level, prefix space": functools.partial(byte_level, add_prefix_space=True),
    "digits by three": digits_by_three,
    "metaspace": metaspace,
    "metaspace, first": functools.partial(metaspace, prepend_scheme="first"),
    "prepended space": prepended_space,
    "unigram": unigram,
}


@functools.cache
def tiny_tokenizer(family):
    return BUILDERS[family]()
