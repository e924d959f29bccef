"""Documents as the trainer takes them: token ids and labels, tokenised once in a stream."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from memenc.data.tokens import tokenize_document

# Documents without tokens that a warning names.
EMPTY_NAMED = 10


class TokenizedDocuments(Dataset):
    """Token ids of documents, without special tokens and never truncated, and their encoded labels.

    Args:
        token_ids: one int32 array per document.
        labels: encoded labels, or None to predict.
    """

    def __init__(self, token_ids: Sequence[np.ndarray], labels: Sequence[Any] | None = None) -> None:
        if labels is not None and len(labels) != len(token_ids):
            raise ValueError(f"{len(token_ids)} documents but {len(labels)} labels")
        self.token_ids = list(token_ids)
        self.labels = None if labels is None else list(labels)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[Any] | None = None,
        show_progress: bool = False,
    ) -> TokenizedDocuments:
        """Tokenise texts of any length, one after the other."""
        shown = track(list(texts), "tokenising", transient=True, disable=not show_progress)
        return cls([tokenize_document(text, tokenizer) for text in shown], labels)

    @property
    def lengths(self) -> list[int]:
        """Tokens of every document."""
        return [len(ids) for ids in self.token_ids]

    def warn_of_empty(self, so: str, stacklevel: int = 2) -> None:
        """Warn of documents without tokens by their numbers, from 0, and say what follows.

        Args:
            so: what follows.
            stacklevel: as `warnings.warn` has it.
        """
        empty = [place for place, tokens in enumerate(self.lengths) if not tokens]
        if not empty:
            return
        named = ", ".join(map(str, empty[:EMPTY_NAMED])) + (", ..." if len(empty) > EMPTY_NAMED else "")
        warnings.warn(
            f"{len(empty):,} of {len(self):,} documents have no tokens (number {named}, counted from 0): {so}",
            stacklevel=stacklevel,
        )

    def truncated(self, tokens: int) -> TokenizedDocuments:
        """The same documents cut off after so many tokens: the truncation baseline."""
        return TokenizedDocuments([ids[:tokens] for ids in self.token_ids], self.labels)

    def subset(self, indices: Sequence[int]) -> TokenizedDocuments:
        """Documents at these indices."""
        labels = None if self.labels is None else [self.labels[index] for index in indices]
        return TokenizedDocuments([self.token_ids[index] for index in indices], labels)

    def __len__(self) -> int:
        return len(self.token_ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {"input_ids": torch.from_numpy(self.token_ids[index].astype(np.int64))}
        if self.labels is not None:
            item["labels"] = self.labels[index]
        return item


def refuse_all_empty(token_ids: Sequence[np.ndarray]) -> None:
    """Refuse documents of which none has a token.

    Raises:
        ValueError: they are such.
    """
    if not any(len(ids) for ids in token_ids):
        raise ValueError(f"not one of the {len(token_ids):,} training documents has a token; there is nothing to learn")
