"""From text to batches: streamed tokenization, records, labels, collation, batches by token budget."""

from memenc.data.batches import parts_of
from memenc.data.collate import LongDocumentCollator
from memenc.data.labels import Labels
from memenc.data.records import Record, RecordReader, read_records
from memenc.data.report import CorpusReport, corpus_report
from memenc.data.tokens import (
    clean_text,
    pair_tokens_of,
    special_tokens_of,
    stream_token_ids,
    stream_tokens_with_offsets,
    tokenize_document,
)

__all__ = [
    "CorpusReport",
    "Labels",
    "LongDocumentCollator",
    "Record",
    "RecordReader",
    "clean_text",
    "corpus_report",
    "pair_tokens_of",
    "parts_of",
    "read_records",
    "special_tokens_of",
    "stream_token_ids",
    "stream_tokens_with_offsets",
    "tokenize_document",
]
