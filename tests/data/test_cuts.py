import itertools
import random

from memenc.data.cuts import CONTEXT_CHARACTERS, LONGEST_WORD, Tokens, Window, own_part, tokenize_in_chunks


def letter_tokens(text):
    return Tokens([ord(letter) for letter in text], [(place, place + 1) for place in range(len(text))])


def never_cut_exactly(text):
    return Tokens([len(text)], [(0, len(text))])


def test_texts_that_reach_the_tokenizer_are_bounded():
    longest = 0

    def encode(text):
        nonlocal longest
        longest = max(longest, len(text))
        return letter_tokens(text)

    blocks = ("loti " * 200 for _ in range(1000))
    total = sum(len(tokens.ids) for tokens in tokenize_in_chunks(blocks, encode, 5_000))
    assert total == 1_000_000
    assert longest <= 5_000 + 2 * CONTEXT_CHARACTERS + 1_000


def test_what_cannot_be_cut_exactly_starts_afresh_at_the_chunk_border():
    text = "x" * 20_000
    tokens = list(tokenize_in_chunks([text], never_cut_exactly, 6_000))
    assert [one.ids for one in tokens] == [[6_000], [6_000], [6_000], [2_000]]
    assert [one.offsets for one in tokens][1] == [(6_000, 12_000)]


def test_small_chunks_grow_before_they_cut_inexactly():
    tokens = list(tokenize_in_chunks(["x" * 10_000], never_cut_exactly, 10))
    assert [one.ids for one in tokens] == [[LONGEST_WORD], [LONGEST_WORD], [10_000 - 2 * LONGEST_WORD]]


def test_a_context_that_reads_differently_later_is_left_out():
    window = Window("abcdef", origin=100, context=2, known=[1, 2])
    assert own_part(window, 6, letter_tokens("abcdef"), letter_tokens) == Tokens(
        [ord(letter) for letter in "cdef"], [(102, 103), (103, 104), (104, 105), (105, 106)]
    )


def test_cuts_prefer_ends_of_words():
    text = " ".join("w" * random.randint(1, 30) for _ in range(500))
    chunks = [tokens.ids for tokens in tokenize_in_chunks([text], letter_tokens, 200)]
    assert list(itertools.chain.from_iterable(chunks)) == letter_tokens(text).ids
    assert all(chunk[0] == ord(" ") and len(chunk) <= 200 for chunk in chunks[1:-1])
