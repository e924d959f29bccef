import random

import numpy
import pytest
import torch

from memenc import MemoryState
from memenc.corpus_encoding import DocumentEncoder, EndlessDocument, endless
from tests.corpus_encoding.killed import run_killed
from tests.tiny import WORDS

CALL = {"tokens_per_call": 200, "save_every": 1}


class Interrupted(Exception):
    pass


def text_of(words):
    """Words, some of them not in the vocabulary and longer than a byte a character."""
    return " ".join(random.choices([*WORDS, "Grüße", "文字", "😀"], k=words))


def pieces_of(content):
    """Bytes cut anywhere, also inside characters."""
    while content:
        size = random.randrange(1, 9_000)
        yield content[:size]
        content = content[size:]


def until(content, byte):
    """A source that breaks off."""
    yield from pieces_of(content[:byte])
    raise Interrupted


def read_whole(encoder, text, **options):
    return EndlessDocument(encoder, **CALL | options).read([text])


@pytest.fixture(scope="module")
def long_model(make_model):
    return make_model(segment_length=64)


@pytest.fixture
def encoder(long_model):
    return DocumentEncoder(long_model, "cpu")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "states" / "document.state"


def test_every_source_gives_the_vector_of_the_text(encoder, tmp_path):
    text = text_of(12_000)
    expected = encoder.model.encode(text, encoder.tokenizer).numpy()
    found = read_whole(encoder, text)
    numpy.testing.assert_allclose(found, expected, atol=1e-5)
    path = tmp_path / "document.txt"
    path.write_bytes(text.encode())
    letters = (text[start : start + 999] for start in range(0, len(text), 999))
    for source in (path, pieces_of(text.encode()), letters):
        numpy.testing.assert_array_equal(EndlessDocument(encoder, **CALL).read(source), found)


def test_broken_off_anywhere_and_gone_on_exactly(encoder, state):
    text = text_of(24_000)
    whole, content = read_whole(encoder, text), text.encode()
    ends = sorted(random.sample(range(len(content)), 3))
    for end in ends:
        with pytest.raises(Interrupted):
            EndlessDocument(encoder, state, **CALL).read(until(content, end))
    seen = []
    document = EndlessDocument(encoder, state, advance=seen.append, **CALL)
    numpy.testing.assert_array_equal(document.read(pieces_of(content)), whole)
    # The whole is kept: only what is new is read again.
    seen.clear()
    numpy.testing.assert_array_equal(document.read(pieces_of(content)), whole)
    assert seen[0] > 0.5 * sum(seen)


def test_a_document_that_grows(encoder, state):
    text = text_of(12_000)
    cut = random.randrange(len(text.encode()) - 20, len(text.encode()) - 2)
    start = text.encode()[:cut]
    document = EndlessDocument(encoder, state, **CALL)
    try:
        short = document.read(pieces_of(start))
        numpy.testing.assert_array_equal(short, read_whole(encoder, start.decode()))
    except ValueError as error:
        assert "within a character" in str(error)
    numpy.testing.assert_array_equal(document.read(pieces_of(text.encode())), read_whole(encoder, text))


def test_killed_anywhere_and_begun_again_gives_the_same_bits(long_model, tmp_path):
    data = tmp_path / "document.txt"
    data.write_text(text_of(60_000), encoding="utf-8")
    arguments = {"model": long_model, "data": str(data), "folder": str(tmp_path)}
    assert run_killed("killed_document", "encoded", arguments) > 0
    numpy.testing.assert_array_equal(numpy.load(tmp_path / "killed.npy"), numpy.load(tmp_path / "whole.npy"))
    killed, whole = (MemoryState.load(tmp_path / f"{name}.state") for name in ("killed", "whole"))
    assert killed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(killed.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_the_state_is_constant(encoder, state, tmp_path):
    other = tmp_path / "longer.state"
    EndlessDocument(encoder, state, **CALL).read([text_of(12_000)])
    EndlessDocument(encoder, other, **CALL).read([text_of(48_000)])
    # What waits for its tokens differs by a chunk of text at most.
    assert abs(other.stat().st_size - state.stat().st_size) < 150_000


def test_empty_and_short_documents(encoder, state):
    expected = encoder.encode(["", "word1"])
    numpy.testing.assert_allclose(EndlessDocument(encoder, state).read([]), expected[:1], atol=1e-6)
    numpy.testing.assert_allclose(EndlessDocument(encoder, state).read(["word1"]), expected[1:], atol=1e-6)


def test_what_does_not_fit_is_refused(encoder, make_model, state):
    text = text_of(12_000)
    EndlessDocument(encoder, state, **CALL).read([text])
    with pytest.raises(ValueError, match="written by another model"):
        EndlessDocument(DocumentEncoder(make_model("windowed", 64), "cpu"), state, **CALL).read([text])
    with pytest.raises(ValueError, match=r"reads 186 tokens at once \(here 248\)"):
        EndlessDocument(encoder, state, tokens_per_call=250).read([text])
    # As long as it was, or it would be too short first.
    changed = bytearray(text.encode())
    changed[random.randrange(len(changed))] ^= 1
    with pytest.raises(ValueError, match="are not those that the state was written after"):
        EndlessDocument(encoder, state, **CALL).read([bytes(changed)])
    with pytest.raises(ValueError, match="the document has only"):
        EndlessDocument(encoder, state, **CALL).read([text[:-1]])
    content = bytearray(state.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    state.write_bytes(content)
    with pytest.raises(ValueError):
        EndlessDocument(encoder, state, **CALL).read([text])
    MemoryState({"document.tokens": torch.zeros(1)}, "x").save(state)
    with pytest.raises(ValueError, match="is a memory, but none"):
        EndlessDocument(encoder, state, **CALL).read([text])
    with pytest.raises(ValueError, match=r"give Path\(\.\.\.\) for a file, or \[text\]"):
        EndlessDocument(encoder).read("log.txt")
    with pytest.raises(ValueError, match="at least 1 token"):
        EndlessDocument(encoder, save_every=0)


def test_invalid_bytes_are_named(encoder, monkeypatch):
    monkeypatch.setattr(endless, "BYTES_PER_BLOCK", 50)
    content = "Grüße ".encode() * 30
    place = random.randrange(20) * 8
    damaged = content[:place] + b"\xff" + content[place:]
    with pytest.raises(ValueError, match=f"byte 0xff at byte {place + 1} of the document"):
        read_whole(encoder, damaged)
    with pytest.raises(ValueError, match="ends at byte 3 within a character"):
        read_whole(encoder, "Grü".encode()[:3])
