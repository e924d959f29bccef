"""Put documents of any length into one batch without dropping a token unasked."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

SHORT_MULTIPLE = 8  # tokens; keeps the shapes of short batches few


@dataclass
class LongDocumentCollator:
    """Pad documents on the right to whole segments, or to a multiple of 8 when they are shorter than one.

    Each feature has "input_ids", the document's own tokens, and may have "attention_mask" (0 leaves a token
    out), "labels" or "label", and "id", which names the document in messages; other keys are passed over.

    Args:
        pad_token_id_or_tokenizer: the id that fills padding, or the tokenizer that has it.
        segment_length: tokens of one segment, special tokens included.
        special_tokens_per_segment: how many of these are special tokens.
        max_tokens: own tokens of the longest document allowed, None for any length.
        on_overflow: for longer ones: "error", or keep their beginning and "warn", or just "truncate".

    After a call, `last_report` holds (tokens seen, tokens given) of each document; `tokens_seen` and
    `tokens_total` add up over all calls. They count where the collator runs, which is the worker process of a
    loader that has workers.

    Raises:
        ValueError: impossible settings, or a tokenizer without a padding token.
    """

    pad_token_id_or_tokenizer: int | PreTrainedTokenizerBase
    segment_length: int = 512
    special_tokens_per_segment: int = 2
    max_tokens: int | None = None
    on_overflow: Literal["error", "warn", "truncate"] = "error"
    tokens_seen: int = field(default=0, init=False)
    tokens_total: int = field(default=0, init=False)
    last_report: list[tuple[int, int]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.special_tokens_per_segment < self.segment_length:
            raise ValueError(
                f"segment_length {self.segment_length} leaves no room for the document's own tokens beside "
                f"{self.special_tokens_per_segment} special ones; make it larger"
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, or None for any length, got {self.max_tokens}")
        if self.on_overflow not in ("error", "warn", "truncate"):
            raise ValueError(f"on_overflow must be 'error', 'warn' or 'truncate', got {self.on_overflow!r}")
        self.pad_token_id = padding_id(self.pad_token_id_or_tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask (batch, tokens) and any labels (batch,) or (batch, classes).

        Raises:
            ValueError: no documents, one over `max_tokens`, ids that are no integers, labels for only some.
        """
        if not features:
            raise ValueError("a batch needs at least one document, got none")
        given = [own_tokens(feature, position) for position, feature in enumerate(features)]
        kept = [self._kept(ids, name_of(features[place], place)) for place, ids in enumerate(given)]
        self.last_report = [(len(seen), len(ids)) for seen, ids in zip(kept, given, strict=True)]
        self.tokens_seen += sum(map(len, kept))
        self.tokens_total += sum(map(len, given))
        input_ids = torch.full((len(kept), self._width(max(map(len, kept)))), self.pad_token_id)
        attention_mask = torch.zeros_like(input_ids)
        for row, ids in enumerate(kept):
            input_ids[row, : len(ids)] = torch.from_numpy(ids)
            attention_mask[row, : len(ids)] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask, **labels_of(features)}

    def _width(self, longest: int) -> int:
        """Return the tokens per row: at least 8, or one segment if that is less."""
        own = self.segment_length - self.special_tokens_per_segment
        if longest < own:
            return min(own, round_up(max(longest, 1), SHORT_MULTIPLE))
        return round_up(longest, own)

    def _kept(self, ids: numpy.ndarray, name: str) -> numpy.ndarray:
        if self.max_tokens is None or len(ids) <= self.max_tokens:
            return ids
        found = f"{name} has {len(ids):,} tokens, over max_tokens={self.max_tokens:,}"
        if self.on_overflow == "error":
            raise ValueError(f"{found}; use max_tokens=None to read all of it, or on_overflow='truncate' to cut it")
        if self.on_overflow == "warn":
            warnings.warn(f"{found}: the last {len(ids) - self.max_tokens:,} are dropped", stacklevel=3)
        return ids[: self.max_tokens]


def padding_id(source: int | PreTrainedTokenizerBase) -> int:
    """Return the id that fills padding; raise ValueError when there is none."""
    if isinstance(source, int) and not isinstance(source, bool) and source >= 0:
        return source
    if not isinstance(source, PreTrainedTokenizerBase):
        raise ValueError(f"pass a tokenizer or the id of its padding token (0 or more), got {source!r}")
    if not isinstance(source.pad_token_id, int):
        raise ValueError(f"{type(source).__name__} has no padding token; set tokenizer.pad_token, or pass an id")
    return source.pad_token_id


def name_of(feature: Mapping[str, Any], position: int) -> str:
    """Return how messages call a document."""
    return f"document {feature['id']!r}" if feature.get("id") is not None else f"document {position} of the batch"


def own_tokens(feature: Mapping[str, Any], position: int) -> numpy.ndarray:
    """Return the ids of one document as int64 (tokens,); raise ValueError when they are something else."""
    name = name_of(feature, position)
    if "input_ids" not in feature:
        raise ValueError(f"{name} has no 'input_ids', only {', '.join(map(str, feature)) or 'nothing'}; tokenize it")
    ids = numpy.asarray(feature["input_ids"])
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"input_ids of {name} must be one list of integers, got shape {ids.shape} of {ids.dtype}")
    mask = feature.get("attention_mask")
    if mask is not None and len(mask) != len(ids):
        raise ValueError(f"attention_mask of {name} has {len(mask)} entries for {len(ids)} tokens")
    return (ids if mask is None else ids[numpy.asarray(mask, dtype=bool)]).astype(numpy.int64)


def labels_of(features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return {"labels": tensor}, long for class numbers, else float32, or {} when no document has one."""
    values = [feature.get("labels", feature.get("label")) for feature in features]
    missing = [position for position, value in enumerate(values) if value is None]
    if len(missing) == len(values):
        return {}
    if missing:
        raise ValueError(f"{name_of(features[missing[0]], missing[0])} has no label, others of the batch do")
    try:
        labels = torch.from_numpy(numpy.asarray(values))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"labels must be numbers or equally long lists of numbers, got {values[0]!r} first; "
            "Labels.encode makes them"
        ) from error
    whole = labels.ndim == 1 and not labels.is_floating_point()
    return {"labels": labels.long() if whole else labels.float()}


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `number`."""
    return -(-number // multiple) * multiple


def padded(rows: Sequence[Sequence[int] | numpy.ndarray], value: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of whole numbers in one table (rows, longest), and where they are."""
    longest = max([1, *map(len, rows)])
    table, mask = torch.full((len(rows), longest), value), torch.zeros(len(rows), longest, dtype=torch.long)
    for place, row in enumerate(rows):
        table[place, : len(row)] = torch.as_tensor(numpy.asarray(row, dtype=numpy.int64))
        mask[place, : len(row)] = 1
    return table, mask
