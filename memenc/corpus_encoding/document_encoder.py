"""One encoder for every engine: made from names alone, called with a batch of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from memenc.corpus_encoding.identity import model_hash
from memenc.corpus_encoding.loading import NewMemory, load_encoder
from memenc.model import MemencModel
from memenc.texts import checked_texts, encode_texts

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


class DocumentEncoder:
    """Context vectors of documents, in workers of Ray Data, `datasets` or Spark, or here.

    Making one costs nothing and sending one to a worker sends its arguments: the model is loaded by the first call.

    Args:
        path: folder or name of a memenc model, or of a plain encoder.
        device: such as "cpu" or "cuda:1"; None takes the graphics card if there is one.
        dtype: of the weights: float32, bfloat16, float16 or float64; None leaves them as they are.
        new_memory: for a plain encoder, and only for one.
        text_column: column of a batch that holds the documents.
        vector_column: column that the vectors come in.

    Raises:
        ValueError: a dtype that there is none of.
    """

    def __init__(
        self,
        path: str,
        device: str | None = None,
        dtype: str | None = None,
        new_memory: NewMemory | None = None,
        text_column: str = "text",
        vector_column: str = "vector",
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: choose one of {', '.join(DTYPES)}, or None")
        self._arguments = (str(path), device, dtype, new_memory, text_column, vector_column)
        self.path, self.device, self.dtype, self.new_memory, self.text_column, self.vector_column = self._arguments

    def __reduce__(self) -> tuple[type[DocumentEncoder], tuple[Any, ...]]:
        return DocumentEncoder, self._arguments

    @cached_property
    def model(self) -> MemencModel:
        """The model, loaded when it is first asked for."""
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = load_encoder(self.path, self.new_memory).eval()
        model.to(torch.device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
        return model if self.dtype is None else model.to(DTYPES[self.dtype])  # pyright: ignore[reportArgumentType]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the backbone."""
        return AutoTokenizer.from_pretrained(self.path)

    @cached_property
    def model_hash(self) -> str:
        """SHA-256 over configuration, weights and tokenizer."""
        return model_hash(self.model, self.tokenizer)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Context vectors (texts, hidden), float32, in the order of the texts.

        Raises:
            ValueError: one text instead of several, or something that is not text, named with its place.
        """
        return self.encode_counted(texts)[0]

    def encode_counted(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What `encode` gives, and how many tokens were read of every text, (texts,); of an empty one 0.

        Raises:
            ValueError: as `encode` does.
        """
        vectors, tokens = encode_texts(self.model, checked_texts(texts), self.tokenizer)
        return vectors.float().cpu().numpy(), np.array(tokens, dtype=np.int64)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with vectors (documents, hidden) in the place of its texts.

        Args:
            batch: columns of the same length, arrays or lists; a pandas DataFrame too.

        Raises:
            ValueError: no column of texts, or one that holds something else.
        """
        columns = {str(name): batch[name] for name in batch}
        if self.text_column not in columns:
            there = ", ".join(map(repr, columns)) or "none"
            raise ValueError(f"the batch has no column {self.text_column!r}; its columns are: {there}")
        # Texts are large: an engine that keeps what comes back would move all of them once more.
        vectors = self.encode(columns.pop(self.text_column))
        return columns | {self.vector_column: vectors}
