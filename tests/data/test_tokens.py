import itertools
import logging
import random
import warnings

import numpy
import pytest
import transformers
from tokenizers import Tokenizer, models
from transformers import ByT5Tokenizer, CanineTokenizer

from memenc.data import (
    clean_text,
    special_tokens_of,
    stream_token_ids,
    stream_tokens_with_offsets,
    tokenize_document,
)
from memenc.data.tokens import tokenizer_to_save
from tests.data.tiny_tokenizers import BUILDERS, tiny_tokenizer, word

FRAGMENTS = [
    "a",
    "the",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "é",
    "e\u0301",
    "中",
    "😀",
    ".",
    ",",
    "12345",
    "'s",
]
FRAGMENTS += [
    "[MASK]",
    "<mask>",
    "<s>",
    "\x00",
    "\u2028",
    "\u00a0",
    "\ud83d",
    "\u200d",
    "İ",
    "ß",
    "-",
    "_",
    "…",
]


@pytest.fixture(params=BUILDERS)
def tokenizer(request):
    return tiny_tokenizer(request.param)


def random_word():
    chance = random.random()
    if chance < 0.7:
        return word()
    if chance < 0.98:
        return "".join(random.choices(FRAGMENTS, k=random.randint(1, 8)))
    return "".join(random.choices("abké1", k=random.randint(80, 300)))


def random_space():
    return random.choice([" ", " ", " ", " ", "  ", "\n", "\n\n", "\t", " " * random.randint(1, 60), ""])


def random_text(words):
    return "".join(random_word() + random_space() for _ in range(words))


def random_pieces(text):
    cuts = sorted(random.randrange(len(text) + 1) for _ in range(random.randint(0, 30)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def joined(chunks):
    return list(itertools.chain.from_iterable(chunks))


def whole(text, tokenizer):
    encoding = tokenizer(
        clean_text(text),
        add_special_tokens=False,
        truncation=False,
        verbose=False,
        return_offsets_mapping=True,
    )
    return encoding["input_ids"], encoding["offset_mapping"]


def streamed(text, tokenizer, chunk_characters):
    ids, offsets = [], []
    for some_ids, some_offsets in stream_tokens_with_offsets(text, tokenizer, chunk_characters):
        ids += some_ids
        offsets += some_offsets
    return ids, offsets


@pytest.mark.parametrize("chunk_characters", [60, 300, 1000])
def test_streamed_equals_whole(tokenizer, chunk_characters):
    for _ in range(2):
        text = random_text(random.randint(300, 900))
        expected = whole(text, tokenizer)
        assert streamed(text, tokenizer, chunk_characters) == expected
        assert streamed(random_pieces(text), tokenizer, chunk_characters) == expected
        stream = stream_token_ids(iter(random_pieces(text)), tokenizer, chunk_characters)
        assert joined(stream) == expected[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "\ud83d",
        " \n\t " * 2000,
        "a\x00b " * 2000,
        "\ud83d\ude00 " * 2000,
        "e" + "\u0301" * 9000,
        "1234567890" * 900,
        "x " + "y" * 5000 + " z",
        "[MASK]" * 2000,
        " <mask> " * 1500,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_unusual_texts_equal_whole(tokenizer, text):
    assert joined(stream_token_ids(text, tokenizer, 1000)) == whole(text, tokenizer)[0]


def test_digits_in_threes_stay_in_step():
    tokenizer = tiny_tokenizer("digits by three")
    text = "a" * random.randrange(3) + "".join(random.choices("0123456789", k=9000))
    assert joined(stream_token_ids(text, tokenizer, 1000)) == whole(text, tokenizer)[0]


def test_one_character_pieces(tokenizer):
    text = random_text(300)
    assert joined(stream_token_ids(iter(text), tokenizer, 500)) == whole(text, tokenizer)[0]


@pytest.mark.parametrize("family", ["wordpiece", "byte level", "prepended space"])
@pytest.mark.parametrize("letters", ["a", "abcdefghij"])
def test_a_megabyte_without_white_space_comes_in_bounded_chunks(family, letters):
    tokenizer = tiny_tokenizer(family)
    text = "".join(random.choices(letters, k=1_000_000))
    chunks = list(stream_token_ids(text, tokenizer))
    assert max(map(len, chunks)) <= 65_536 + 768
    assert joined(chunks) == whole(text, tokenizer)[0]


def test_offsets_are_characters_of_the_users_text():
    tokenizer = tiny_tokenizer("byte level")
    text = "\ud83d" + " ".join(word() for _ in range(2000))
    for ids, offsets in stream_tokens_with_offsets(text, tokenizer, 500):
        for one_id, (start, end) in zip(ids, offsets, strict=True):
            if start > 1:
                assert text[start:end] == tokenizer.convert_ids_to_tokens(one_id).removeprefix("Ġ")


@pytest.mark.parametrize("piece_characters", [1, 100, 50_000])
def test_pieces_are_taken_only_as_needed(piece_characters):
    taken = 0

    def pieces():
        nonlocal taken
        while True:
            taken += piece_characters
            yield ("pre loti " * piece_characters)[:piece_characters]

    stream = stream_token_ids(pieces(), tiny_tokenizer("wordpiece"), chunk_characters=10_000)
    assert taken == 0
    assert next(stream)
    assert taken <= 10_000 + 768 + max(4096, piece_characters)


def test_a_piece_that_is_no_text_is_named():
    with pytest.raises(ValueError, match="piece 2 is bytes"):
        list(stream_token_ids(["a", "b", b"c"], tiny_tokenizer("wordpiece")))


@pytest.mark.parametrize("text", [b"bytes", 5, None])
def test_a_text_that_is_no_text_is_refused_at_once(text):
    with pytest.raises(ValueError, match=type(text).__name__):
        stream_token_ids(text, tiny_tokenizer("wordpiece"))


def test_chunks_below_one_character_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        stream_token_ids("text", tiny_tokenizer("wordpiece"), 0)


def test_a_bare_tokenizer_is_refused():
    with pytest.raises(ValueError, match="got Tokenizer; load one"):
        stream_token_ids("text", Tokenizer(models.BPE()))


def test_tokenize_document_is_int32():
    tokenizer = tiny_tokenizer("wordpiece")
    text = random_text(500)
    ids = tokenize_document(text, tokenizer, chunk_characters=200)
    assert ids.dtype == numpy.int32
    assert ids.tolist() == whole(text, tokenizer)[0]
    empty = tokenize_document("", tokenizer)
    assert empty.dtype == numpy.int32
    assert empty.shape == (0,)


def test_truncation_and_padding_of_the_tokenizer_file_are_set_aside():
    tokenizer = tiny_tokenizer("wordpiece")
    text = random_text(200)
    expected = whole(text, tokenizer)[0]
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=100_000)
    assert tokenize_document(text, tokenizer).tolist() == expected


def test_long_texts_give_no_warning(caplog):
    tokenizer = tiny_tokenizer("byte level")
    tokenizer.model_max_length = 16
    transformers.utils.logging.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            tokenize_document(random_text(500), tokenizer)
    finally:
        transformers.utils.logging.disable_propagation()
    assert not caplog.records


@pytest.mark.parametrize("tokenizer_class", [ByT5Tokenizer, CanineTokenizer])
def test_slow_tokenizers_stream_ids_but_no_offsets(tokenizer_class):
    tokenizer = tokenizer_class()
    text = random_text(600)
    expected = tokenizer(clean_text(text), add_special_tokens=False, verbose=False)["input_ids"]
    assert joined(stream_token_ids(random_pieces(text), tokenizer, 500)) == expected
    with pytest.raises(ValueError, match="slow"):
        stream_tokens_with_offsets(text, tokenizer)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("wordpiece", ([2], [3])),
        ("byte level", ([0], [1])),
        ("prepended space", ([1], [])),
        ("metaspace", ([], [])),
    ],
)
def test_special_tokens(family, expected):
    assert special_tokens_of(tiny_tokenizer(family)) == expected


@pytest.mark.parametrize(
    ("family", "padding"), [("wordpiece", "[PAD]"), ("prepended space", "<unk>"), ("digits by three", None)]
)
def test_a_saved_tokenizer_pads_with_a_token_that_is_special_already(family, padding):
    tokenizer = tiny_tokenizer(family)
    before, text = tokenizer.pad_token, random_text(200)
    saved = tokenizer_to_save(tokenizer)
    assert saved.pad_token == padding and saved.model_max_length > 10**20 and tokenizer.pad_token == before
    assert whole(text, saved) == whole(text, tokenizer)


def test_special_tokens_of_no_tokenizer():
    with pytest.raises(ValueError, match="got str"):
        special_tokens_of("bert-base-uncased")


def test_clean_text_keeps_every_place():
    assert clean_text("a\ud83d\ude00b\udfff") == "a\ufffd\ufffdb\ufffd"
    text = random_text(300)
    assert len(clean_text(text)) == len(text)
    assert clean_text("plain 😀\x00") == "plain 😀\x00"


@pytest.mark.parametrize("value", [None, 3, b"text", ["text"]])
def test_clean_text_refuses_what_is_no_text(value):
    with pytest.raises(ValueError, match=f"got {type(value).__name__}"):
        clean_text(value)
