"""Characters to tokens and back, for every family of tokenizers, across the cuts of streamed tokenisation."""

import random
from functools import partial

import numpy as np
import pytest

from memenc.data import offsets
from memenc.data.offsets import PlacedTokens
from memenc.data.tokens import stream_tokens_with_offsets, tokenize_document
from tests.data.tiny_tokenizers import BUILDERS, tiny_tokenizer, word


def document(words):
    separators = [" ", " ", " ", "\n\n", "  ", ", ", ". ", " - "]
    return "".join(
        random.choice([word(), word(), "naïve", "中文", "café", "678"]) + random.choice(separators)
        for _ in range(words)
    )


@pytest.mark.parametrize("family", BUILDERS)
def test_a_span_of_words_comes_back_as_it_was(family, monkeypatch):
    text, tokenizer = document(3_000), tiny_tokenizer(family)
    in_chunks = partial(stream_tokens_with_offsets, chunk_characters=2_000)
    monkeypatch.setattr(offsets, "stream_tokens_with_offsets", in_chunks)
    placed = PlacedTokens.of(text, tokenizer)
    assert placed.ids.tolist() == tokenize_document(text, tokenizer).tolist()
    words = [(at, at + len(each)) for each, at in places_of_words(text)]
    for _ in range(200):
        first = random.randrange(len(words))
        last = min(len(words) - 1, first + random.randrange(4))
        start, end = words[first][0], words[last][1]
        tokens = placed.tokens(start, end)
        assert tokens is not None
        found = placed.characters(*tokens)
        # A token may hold a neighbour too: the answer is the smallest stretch of whole tokens round the words.
        assert found[0] <= start and found[1] >= end
        assert placed.characters(*placed.tokens(*found)) == found
        if family in ("wordpiece", "byte level", "digits by three", "metaspace, first"):
            slack = (start - found[0]) + (found[1] - end)
            assert slack == 0 or not text[found[0] : found[1]].isalnum(), text[found[0] : found[1]]


def places_of_words(text):
    at, found = 0, []
    for each in text.split():
        at = text.index(each, at)
        found.append((each, at))
        at += len(each)
    return found


@pytest.mark.parametrize("family", BUILDERS)
def test_places_are_those_of_the_whole_text_and_never_fall(family):
    text, tokenizer = document(400), tiny_tokenizer(family)
    placed = PlacedTokens.of(text, tokenizer)
    assert (placed.starts[1:] >= placed.starts[:-1]).all() and (placed.ends[1:] >= placed.ends[:-1]).all()
    assert placed.ends[-1] <= len(text)


def test_white_space_alone_has_no_words():
    placed = PlacedTokens.of("ba  \n ke", tiny_tokenizer("byte level"))
    start, end = placed.characters(*placed.tokens(2, 5))
    assert placed.text[start:end] == ""
    assert PlacedTokens.of("", tiny_tokenizer("wordpiece")).tokens(0, 3) is None


@pytest.mark.parametrize("letters", ["cafe\u0301", "ที่นี่", "كِتَابٌ", "\u1112\u1161\u11ab"])
def test_marks_that_no_token_holds_belong_to_their_letter(letters):
    text = f"ba {letters} ke"
    # As of a tokenizer that strips accents: the last token ends before the marks.
    plain = next(place for place in range(len(letters)) if offsets.goes_on(letters[place]))
    places = np.array([[0, 2], [3, 3 + plain], [len(text) - 2, len(text)]])
    placed = PlacedTokens(text, np.arange(3), places[:, 0], places[:, 1])
    start, end = placed.characters(1, 1)
    rest = letters[plain:]
    kept = next((place for place, each in enumerate(rest) if not offsets.goes_on(each)), len(rest))
    assert text[start:end] == letters[: plain + kept] and end > 3 + plain
    # Those that the next token holds are its own.
    held = PlacedTokens(text, np.arange(3), np.array([0, 3, 3 + plain]), np.array([2, 3 + plain, len(text)]))
    assert held.characters(1, 1) == (3, 3 + plain)


def test_tokens_of_white_space_have_no_words():
    placed = PlacedTokens.of("ba  \n ke", tiny_tokenizer("byte level"))
    said = [placed.text[start:end] for start, end in zip(placed.starts, placed.ends, strict=True)]
    assert placed.words.tolist() == [bool(each.strip()) for each in said] and not placed.words.all()


def test_a_span_between_tokens_has_none():
    placed = PlacedTokens.of("ba   ke", tiny_tokenizer("wordpiece"))
    assert placed.tokens(2, 4) is None and placed.tokens(0, 2) is not None
