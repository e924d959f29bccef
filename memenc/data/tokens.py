"""Tokenize a text of any length in constant memory, with the same ids as all at once."""

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
from transformers import PreTrainedTokenizerBase
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from memenc.data.cuts import Encode, Tokens, Window, read_on, tokenize_in_chunks, unread_tokens

BLOCK_CHARACTERS = 4_096
# Tokenized at a time.
CHUNK_CHARACTERS = 65_536
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Replace every lone surrogate, which no tokenizer accepts, by U+FFFD; all characters keep their places.

    Raises:
        ValueError: `text` is not a str.
    """
    if not isinstance(text, str):
        advice = "decode it, for example with .decode('utf-8')" if isinstance(text, bytes) else "pass a str"
        raise ValueError(f"a text must be a str, got {type(text).__name__}; {advice}")
    return LONE_SURROGATE.sub("\ufffd", text)


def special_tokens_of(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the ids (prefix, suffix) that the tokenizer puts round one text, such as ([CLS], [SEP]).

    Raises:
        ValueError: not a transformers tokenizer, or one that puts special tokens elsewhere.
    """
    check_tokenizer(tokenizer)
    for text in ("a", "the", "0"):
        plain = tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
        full = tokenizer(text, add_special_tokens=True, truncation=False)["input_ids"]
        around = tokenizer("", add_special_tokens=True, truncation=False)["input_ids"]
        for start in range(len(full) - len(plain) + 1 if plain else 0):
            prefix, suffix = full[:start], full[start + len(plain) :]
            if full[start : start + len(plain)] == plain and prefix + suffix == around:
                return prefix, suffix
    raise ValueError(
        f"{type(tokenizer).__name__} gives {text!r} the ids {full} with and {plain} without special tokens; "
        "they do not simply stand before and after a text; use a tokenizer where they do"
    )


def pair_tokens_of(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int] | None:
    """What the tokenizer puts between two texts, such as [SEP], and the token type of the second; None if nothing."""
    prefix, suffix = special_tokens_of(tokenizer)
    for text in ("a", "the", "0"):
        plain = tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
        pair = tokenizer(text, text, add_special_tokens=True, truncation=False, return_token_type_ids=True)
        ids, types = pair["input_ids"], pair["token_type_ids"]
        between = len(ids) - len(prefix) - 2 * len(plain) - len(suffix)
        second = len(ids) - len(suffix) - len(plain)
        separator = ids[second - max(0, between) : second]
        if plain and separator and ids == [*prefix, *plain, *separator, *plain, *suffix]:
            return separator, types[second]
    return None


def stream_token_ids(
    text: str | Iterable[str], tokenizer: PreTrainedTokenizerBase, chunk_characters: int = CHUNK_CHARACTERS
) -> Iterator[list[int]]:
    """Yield the ids of a text of any length, without special tokens, in lists of about one chunk.

    Joined, they are the ids of the whole text tokenized at once: every cut is checked. Only where no exact
    cut is found in `chunk_characters` (at least 4,096) characters, as in some endless words, may they differ
    at the cut, which then splits the word.

    Args:
        text: the text, or its pieces in order, cut anywhere; pieces are taken only as needed.
        tokenizer: a transformers tokenizer.
        chunk_characters: characters tokenized at a time.

    Raises:
        ValueError: a text or piece is not a str, or `chunk_characters` is below 1.
    """
    return (tokens.ids for tokens in _stream(text, _encoder(tokenizer, with_offsets=False), chunk_characters))


def stream_tokens_with_offsets(
    text: str | Iterable[str], tokenizer: PreTrainedTokenizerBase, chunk_characters: int = CHUNK_CHARACTERS
) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
    """Yield (ids, [(start, end), ...]) as `stream_token_ids` does, offsets in characters of the whole text.

    Args:
        text: the text, or its pieces in order, cut anywhere; pieces are taken only as needed.
        tokenizer: a fast transformers tokenizer.
        chunk_characters: characters tokenized at a time.

    Raises:
        ValueError: not a fast tokenizer, a text or piece is not a str, or `chunk_characters` is below 1.
    """
    return ((ids, offsets) for ids, offsets in _stream(text, _encoder(tokenizer, True), chunk_characters))


def tokenize_document(
    text: str | Iterable[str], tokenizer: PreTrainedTokenizerBase, chunk_characters: int = CHUNK_CHARACTERS
) -> numpy.ndarray:
    """Return all ids of `stream_token_ids` as one int32 array (tokens,).

    Args:
        text: the text, or its pieces in order, cut anywhere.
        tokenizer: a transformers tokenizer.
        chunk_characters: characters tokenized at a time.

    Raises:
        ValueError: a text or piece is not a str, or `chunk_characters` is below 1.
    """
    chunks = stream_token_ids(text, tokenizer, chunk_characters)
    arrays = [numpy.asarray(ids, dtype=numpy.int32) for ids in chunks]
    return numpy.concatenate([numpy.empty(0, dtype=numpy.int32), *arrays])


def instruction_tokens(instruction: str, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """The ids of an instruction to a model.

    Raises:
        ValueError: no text, a text without tokens, or no tokenizer to read it.
    """
    if tokenizer is None:
        raise ValueError(
            f"instruction={instruction!r} is text, and there is no tokenizer: give tokenizer=, or token ids"
        )
    ids = tokenize_document(instruction, tokenizer).tolist()
    if not ids:
        raise ValueError(f"instruction={instruction!r} has no tokens; leave it out, or write what is to be done")
    return ids


class ArrivingText:
    """Token ids of a text that arrives block by block, the same ids as all at once.

    Args:
        tokenizer: a transformers tokenizer.
        window: what another process was left with, to go on from there.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, window: Window | None = None) -> None:
        self.window = Window() if window is None else window
        self._encode = _encoder(tokenizer, with_offsets=False)

    def read(self, block: str) -> list[int]:
        """The ids that are certain now, whatever follows; `window` holds the text of those that are not."""
        found, self.window = read_on(self.window.followed_by(block), self._encode, CHUNK_CHARACTERS)
        return [token for tokens in found for token in tokens.ids]

    def rest(self) -> list[int]:
        """The ids of the text in `window`, as if the text ended here."""
        return unread_tokens(self.window, len(self.window.text), self._encode).ids


def check_tokenizer(tokenizer: object) -> None:
    """Raise ValueError unless `tokenizer` is one of transformers'."""
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(
            f"tokenizer must be a transformers tokenizer, got {type(tokenizer).__name__}; load one with "
            "AutoTokenizer.from_pretrained, or wrap a tokenizers.Tokenizer in PreTrainedTokenizerFast"
        )


def _encoder(tokenizer: PreTrainedTokenizerBase, with_offsets: bool) -> Encode:
    check_tokenizer(tokenizer)
    if with_offsets and not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow (pure Python) tokenizer and knows no character offsets; "
            "load a fast one, or use stream_token_ids, which needs none"
        )

    def encode(text: str) -> Tokens:
        encoding = tokenizer(
            text,
            add_special_tokens=False,
            truncation=False,
            padding=False,
            verbose=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=with_offsets,
        )
        return Tokens(encoding["input_ids"], encoding["offset_mapping"] if with_offsets else [])

    return encode


def _stream(text: str | Iterable[str], encode: Encode, chunk_characters: int) -> Iterator[Tokens]:
    if chunk_characters < 1:
        raise ValueError(f"chunk_characters must be at least 1, got {chunk_characters}")
    if isinstance(text, (bytes, bytearray)) or not isinstance(text, Iterable):
        raise ValueError(f"text must be a str or an iterable of str pieces, got {type(text).__name__}")
    pieces = [text] if isinstance(text, str) else text
    return tokenize_in_chunks(_blocks(pieces), encode, chunk_characters)


def _blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Join small pieces and cut large ones: a step costs about the same however the text arrives."""
    waiting: list[str] = []
    characters = 0
    for number, piece in enumerate(pieces):
        if not isinstance(piece, str):
            raise ValueError(f"every piece of a text must be a str, piece {number} is {type(piece).__name__}")
        for start in range(0, len(piece), BLOCK_CHARACTERS):
            waiting.append(clean_text(piece[start : start + BLOCK_CHARACTERS]))
            characters += len(waiting[-1])
            if characters >= BLOCK_CHARACTERS:
                yield "".join(waiting)
                waiting, characters = [], 0
    yield "".join(waiting)


def tokenizer_to_save(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer as pipelines and sentence-transformers need it beside a model.

    It has no maximum length, which would make the ones warn and the others truncate, and a padding token, without which
    neither reads several texts at a time; decoders' often have none. What fills padding is never read.
    """
    if tokenizer.pad_token is None:
        # A token that is special already: any other would be one from now on, and texts would get other ids.
        saved = copy.deepcopy(tokenizer)
        saved.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token
    else:
        saved = copy.copy(tokenizer)
    saved.model_max_length = VERY_LARGE_INTEGER
    return saved


def special_tokens_named(tokenizer: PreTrainedTokenizerBase, token_types: int) -> dict[str, Any]:
    """What `MemencConfig` knows of a tokenizer's special tokens; only what differs from its defaults for a pair."""
    prefix, suffix = special_tokens_of(tokenizer)
    named: dict[str, Any] = {"prefix": prefix, "suffix": suffix, "padding": tokenizer.pad_token_id or 0}
    separator, own_type = pair_tokens_of(tokenizer) or (suffix, 0)
    if separator != suffix:
        named["separator"] = separator
    if 0 < own_type < token_types:
        named["own_type"] = own_type
    return named
