"""Read one document of any length, from a file, a pipe or an iterator, in constant memory; go on after a kill."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from memenc.corpus_encoding.document_encoder import DocumentEncoder
from memenc.corpus_encoding.reading import Reading
from memenc.data.cuts import Window
from memenc.data.tokens import ArrivingText, clean_text
from memenc.state import MemoryState

BYTES_PER_BLOCK = 65_536

Source = Path | Iterable[bytes | str]


class EndlessDocument:
    """One document that may be longer than any memory, and may still grow.

    Args:
        encoder: turns it into a vector.
        state: file that is written on the way and gone on from if it is there; None keeps nothing.
        save_every: tokens from one writing of it to the next.
        tokens_per_call: tokens read at once; rounded down to whole segments.
        advance: is told how many more tokens were read.
    """

    def __init__(
        self,
        encoder: DocumentEncoder,
        state: Path | None = None,
        save_every: int = 1_000_000,
        tokens_per_call: int = 32_768,
        advance: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        if save_every < 1 or tokens_per_call < 1:
            raise ValueError(f"save_every={save_every}, tokens_per_call={tokens_per_call}: give at least 1 token")
        self.encoder, self.state, self.save_every, self.advance = encoder, state, save_every, advance
        own = encoder.model.own_tokens_per_segment
        self.tokens_per_call = max(1, tokens_per_call // own) * own

    @torch.no_grad()
    def read(self, source: Source) -> np.ndarray:
        """The context vector (1, hidden), float32, of the whole document.

        A process that was killed goes on, with the same source from its beginning, where the state was written last,
        and gives the same numbers as one that was not. The end is kept too: read again, a source that has grown costs
        what is new in it.

        Args:
            source: a path, or pieces of the document, cut anywhere, as bytes in UTF-8 or as text.

        Raises:
            ValueError: no UTF-8, or a source that does not begin with what was read before; a bare text, which may be
                meant as a path.
        """
        if isinstance(source, str | bytes):
            raise ValueError(f"the source is {source[:40]!r}: give Path(...) for a file, or [text] for the text itself")
        reading = self._begun()
        saved = tokens_of(reading.memory)
        self.advance(saved)
        text = ArrivingText(self.encoder.tokenizer, reading.window)
        for block in blocks_after(source, reading):
            characters, undecoded = decoded(reading, block)
            waiting = reading.waiting + text.read(characters)
            taken, checksum = reading.bytes_taken + len(block), zlib.crc32(block, reading.checksum)
            memory, waiting = self._read_calls(reading.memory, waiting)
            reading = Reading(memory, text.window, waiting, undecoded, taken, checksum)
            if tokens_of(memory) - saved >= self.save_every:
                saved = tokens_of(memory)
                self._save(reading)
        self._save(reading)
        if reading.undecoded:
            raise ValueError(f"the document ends at byte {reading.bytes_taken:,} within a character of UTF-8")
        return self._finished(reading, text.rest())

    def _begun(self) -> Reading:
        """Where the last process was, or the beginning."""
        if self.state is None or not self.state.is_file():
            return Reading(self.encoder.model.initial_memory(1), Window(), [], b"", 0, 0)
        return Reading.load(self.state, self.encoder.model_hash, self.tokens_per_call)

    def _save(self, reading: Reading) -> None:
        if self.state is not None:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            reading.save(self.state, self.encoder.model_hash, self.tokens_per_call)

    def _read_calls(self, memory: MemoryState, waiting: list[int]) -> tuple[MemoryState, list[int]]:
        """The memory after as many full calls as wait, and the token ids that still do."""
        while len(waiting) >= self.tokens_per_call:
            memory = self._read_call(memory, waiting[: self.tokens_per_call])
            waiting = waiting[self.tokens_per_call :]
        return memory, waiting

    def _read_call(self, memory: MemoryState, ids: list[int]) -> MemoryState:
        model = self.encoder.model
        tokens = torch.tensor([ids], device=model.device)
        output = model(tokens, memory=memory, output_token_states=False)
        self.advance(len(ids))
        return output.memory

    def _finished(self, reading: Reading, rest: list[int]) -> np.ndarray:
        """The vector of a document that ends with these token ids."""
        memory, waiting = self._read_calls(reading.memory, reading.waiting + rest)
        if waiting:
            memory = self._read_call(memory, waiting)
        model = self.encoder.model
        return model.read_out(memory.to(model.device)).float().cpu().numpy()


def tokens_of(memory: MemoryState) -> int:
    """Tokens that one document's memory has seen."""
    return int(memory.tokens_seen)


def blocks_after(source: Source, reading: Reading) -> Iterator[bytes]:
    """What comes after the bytes that were taken before.

    Raises:
        ValueError: those are not the bytes that were taken.
    """
    left, checksum = reading.bytes_taken, 0
    for block in blocks_of(source):
        before, after = block[:left], block[left:]
        left -= len(before)
        checksum = zlib.crc32(before, checksum)
        if before and not left:
            refuse_other_bytes(reading, checksum)
        if after:
            yield after
    if left:
        raise ValueError(
            f"the state was written after {reading.bytes_taken:,} bytes, but the document has only "
            f"{reading.bytes_taken - left:,}; give it the same document, from its beginning"
        )


def refuse_other_bytes(reading: Reading, checksum: int) -> None:
    """Raise ValueError if the bytes that were read before are not those of this source."""
    if checksum != reading.checksum:
        raise ValueError(
            f"the first {reading.bytes_taken:,} bytes are not those that the state was written after; give it the "
            "same document, from its beginning, or another --state"
        )


def blocks_of(source: Source) -> Iterator[bytes]:
    """The bytes of a source in blocks of one size, the last shorter."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from iter(lambda: file.read(BYTES_PER_BLOCK), b"")
        return
    held = bytearray()
    for piece in source:
        held += piece if isinstance(piece, bytes) else clean_text(piece).encode()
        while len(held) >= BYTES_PER_BLOCK:
            yield bytes(held[:BYTES_PER_BLOCK])
            del held[:BYTES_PER_BLOCK]
    if held:
        yield bytes(held)


def decoded(reading: Reading, block: bytes) -> tuple[str, bytes]:
    """The characters that end in a block, and the bytes of one that does not.

    Raises:
        ValueError: no UTF-8; the message names the byte.
    """
    content = reading.undecoded + block
    try:
        characters, used = codecs.utf_8_decode(content, "strict", False)
    except UnicodeDecodeError as error:
        place = reading.bytes_taken - len(reading.undecoded) + error.start + 1
        wrong = f"byte 0x{content[error.start]:02x} at byte {place:,} of the document"
        raise ValueError(f"invalid UTF-8: {wrong}") from error
    return characters, content[used:]
