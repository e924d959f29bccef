"""Texts read side by side: whole segments without padding, last segments by their length."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from memenc.data.batches import parts_of
from memenc.data.collate import SHORT_MULTIPLE
from memenc.data.token_buffer import TokenBuffer
from memenc.data.tokens import stream_token_ids
from memenc.encoder.schedule import tokens_per_backbone_call
from memenc.state import MemoryState

# Of English and its kin; it only decides which texts are read together.
CHARACTERS_PER_TOKEN = 4


def checked_texts(texts: Any) -> list[str]:
    """Texts as a list.

    Raises:
        ValueError: one text or something else that is no collection of them; something in it that is not text, named
            with its place.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        one = "one text, " if isinstance(texts, str) else ""
        raise ValueError(f"received {one}{reprlib.repr(texts)}; give a list of texts: [text] for one")
    # A table would be read as the names of its columns, and a mapping as its keys.
    if isinstance(texts, Mapping | Set) or len(getattr(texts, "shape", ())) > 1:
        raise ValueError(
            f"received a {type(texts).__name__}; give a list of texts, such as one of its columns: table['text']"
        )
    found = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise ValueError(f"document {place} is {reprlib.repr(text)}, not text; make it a str, or leave it out")
    return [str(text) for text in found]


@torch.no_grad()
def encode_texts(
    model: Any,
    texts: str | Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    documents_per_call: int = 64,
    tokens_per_call: int = 32_768,
) -> tuple[Tensor, list[int]]:
    """What `MemencModel.encode` gives, (texts, hidden), and how many tokens were read of every text."""
    was_training = model.training
    model.eval()
    try:
        if isinstance(texts, str | Iterator):
            return read_texts(model, [texts], tokenizer, tokens_per_call)
        texts = checked_texts(texts)
        vectors = torch.zeros(len(texts), model.config.hidden_size, device=model.device, dtype=model.dtype)
        tokens = [0] * len(texts)
        # Texts of similar length together, so that little is padding; their characters tell it before their tokens.
        lengths = [len(text) // CHARACTERS_PER_TOKEN for text in texts]
        for places in parts_of(lengths, tokens_per_call, model.own_tokens_per_segment, documents_per_call):
            vectors[places], read = read_texts(model, [texts[place] for place in places], tokenizer, tokens_per_call)
            for place, count in zip(places, read, strict=True):
                tokens[place] = count
        return vectors, tokens
    finally:
        model.train(was_training)


def read_texts(
    model: Any, texts: Sequence[Any], tokenizer: PreTrainedTokenizerBase, tokens_per_call: int
) -> tuple[Tensor, list[int]]:
    """Context representations (texts, hidden) of texts read side by side, unpadded in all segments but their last.

    Beside them stands how many tokens were read of every text.

    Args:
        model: a `MemencModel` in evaluation mode.
        texts: each a text, or pieces of one.
        tokenizer: of the backbone.
        tokens_per_call: tokens read at once.
    """
    buffers = [TokenBuffer(stream_token_ids(text, tokenizer)) for text in texts]
    memories = read_whole_segments(model, buffers, tokens_per_call)
    rests = [buffer.take(model.own_tokens_per_segment) for buffer in buffers]
    vectors = torch.zeros(len(texts), model.config.hidden_size, device=model.device, dtype=model.dtype)
    # Last segments of similar length together; more at once would be no faster.
    per_call = tokens_per_backbone_call(model.device)
    for places in parts_of([len(rest) for rest in rests], per_call, SHORT_MULTIPLE):
        state, pieces = MemoryState.cat([memories[place] for place in places]), [rests[place] for place in places]
        if not any(pieces):
            vectors[places] = model.read_out(state)
            continue
        ids = pad_sequence([torch.tensor(piece, device=model.device).long() for piece in pieces], True)
        mask = pad_sequence([torch.ones(len(piece), device=model.device) for piece in pieces], True)
        output = model(ids, mask, memory=state, output_token_states=False)
        vectors[places] = output.pooler_output
    return vectors, [buffer.taken for buffer in buffers]


def read_whole_segments(model: Any, buffers: list[TokenBuffer], tokens_per_call: int) -> dict[int, MemoryState]:
    """Read every text up to its last, unfinished segment, and give its memory by its place."""
    own = model.own_tokens_per_segment
    memory, reading, ended = model.initial_memory(len(buffers)), list(range(len(buffers))), {}
    while reading:
        most = max(1, tokens_per_call // (len(reading) * own))
        whole = [buffers[place].fill(most * own) // own for place in reading]
        ended |= {place: memory[row] for row, place in enumerate(reading) if not whole[row]}
        if not all(whole):
            there = [row for row, count in enumerate(whole) if count]
            memory, reading = memory.select(there), [reading[row] for row in there]
        if reading:
            count = min(filter(None, whole))
            ids = [buffers[place].take(count * own) for place in reading]
            memory = model(torch.tensor(ids, device=model.device), memory=memory, output_token_states=False).memory
    return ended
