"""From a cell to what it trains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from memenc.comparison.cells import Cell
from memenc.comparison.contenders import Contender
from memenc.comparison.published import published_network
from memenc.comparison.readers.base import NetworkReader, Reader
from memenc.comparison.readers.embedding import EmbeddingNetwork, with_vectors
from memenc.comparison.readers.memory import MemoryNetwork
from memenc.comparison.readers.network import Network, NotRun
from memenc.comparison.readers.tfidf import TfidfReader
from memenc.comparison.readers.window import Kept, WindowNetwork
from memenc.comparison.recipe import longest_trained
from memenc.data.memory_tasks import MemoryTask


def reader_for(cell: Cell, task: MemoryTask) -> Reader:
    """An untrained reader.

    Raises:
        NotRun: a package is not installed, or a budget is too small.
    """
    torch.manual_seed(cell.seed_of("weights", shared=False))
    if cell.contender.name == "tf-idf":
        return TfidfReader(cell, task)
    return NetworkReader(cell, task, network_for(cell, task))


def network_for(cell: Cell, task: MemoryTask) -> Network:
    """The network of a cell, with fresh weights."""
    if task.candidates:
        return EmbeddingNetwork(plain_network(cell, with_vectors(task, cell.encoder.hidden)), task)
    return plain_network(cell, task)


def plain_network(cell: Cell, task: MemoryTask) -> Network:
    """The network of a cell, whose logits are those of the task's labels."""
    if cell.contender.kind == "baseline":
        return BASELINES[cell.contender.name](cell, task)
    if cell.contender.kind == "published":
        return published_network(cell.contender.name, task, cell.encoder, cell.budget, cell.testing)
    return memory(cell, task, cell.contender)


def memory(cell: Cell, task: MemoryTask, contender: Contender) -> Network:
    """A design; without one and with a pooling readout it is chunk-and-pool."""
    return MemoryNetwork(task, contender, cell.budget, cell.encoder, cell.testing.growing_segments)


def pooled(cell: Cell, task: MemoryTask, readout: str) -> Network:
    """The encoder on every segment alone, pooled over all of them."""
    return memory(cell, task, Contender(cell.contender.name, readout=readout))


def truncated(cell: Cell, task: MemoryTask, kept: Kept) -> Network:
    """The question, and of the rest what the window has room for."""
    return WindowNetwork(task, cell.encoder, cell.testing.truncated_segments, kept)


def full_attention(cell: Cell, task: MemoryTask) -> Network:
    """Everything in one row."""
    segments = longest_trained(cell.training, task)
    if segments * task.segment_length > cell.testing.full_attention_tokens:
        raise NotRun(
            f"full attention over {segments * task.segment_length:,} tokens of training documents; the limit is "
            f"{cell.testing.full_attention_tokens:,}"
        )
    return WindowNetwork(task, cell.encoder, segments, "all")


BASELINES: dict[str, Callable[[Cell, MemoryTask], Network]] = {
    "truncate-first": partial(truncated, kept="first"),
    "truncate-last": partial(truncated, kept="last"),
    "chunk-and-mean": partial(pooled, readout="mean"),
    "chunk-and-attention": partial(pooled, readout="attention"),
    "full-attention": full_attention,
}
