"""How long the documents of a corpus are, and what truncation would cost."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy


@dataclass(frozen=True)
class CorpusReport:
    """Lengths of a corpus, in tokens; shares between 0 and 1.

    Args:
        documents: number of documents.
        tokens: of all documents together.
        mean: tokens per document.
        percentile_5: 5 % of the documents are no longer.
        median: half of the documents are no longer.
        percentile_95: 95 % of the documents are no longer.
        longest: tokens of the longest document.
        truncation: the limit that the shares speak of.
        share_over_limit: share of documents longer than the limit.
        dropped_share: share of all tokens that stand beyond the limit of their document.
    """

    documents: int
    tokens: int
    mean: float
    percentile_5: float
    median: float
    percentile_95: float
    longest: int
    truncation: int
    share_over_limit: float
    dropped_share: float

    def lines(self) -> list[str]:
        """Return the report as two sentences."""
        return [
            f"{counted(self.documents, 'document')}, {counted(self.tokens, 'token')} "
            f"(median {self.median:,.0f}, 95th percentile {self.percentile_95:,.0f}, "
            f"longest {self.longest:,})",
            f"truncation at {counted(self.truncation, 'token')} would drop {percent(self.dropped_share)} "
            f"of your tokens and shorten {percent(self.share_over_limit)} of your documents",
        ]

    def __str__(self) -> str:
        return "; ".join(self.lines())


def corpus_report(token_lengths: Iterable[int], truncation: int = 512) -> CorpusReport:
    """Sum up the lengths of a corpus.

    Args:
        token_lengths: tokens of each document, without special tokens.
        truncation: tokens of a document that a truncating model would read, without its special tokens.

    Raises:
        ValueError: no documents, a length below 0, or a truncation below 1.
    """
    lengths = numpy.asarray(list(token_lengths), dtype=numpy.int64)
    if not lengths.size or lengths.min() < 0:
        found = f"the length {lengths.min()}" if lengths.size else "no documents"
        raise ValueError(f"token_lengths must hold one number, 0 or more, per document, got {found}")
    if truncation < 1:
        raise ValueError(f"truncation must be at least 1 token, got {truncation}")
    percentile_5, median, percentile_95 = numpy.percentile(lengths, [5, 50, 95])
    dropped = numpy.maximum(lengths - truncation, 0).sum()
    return CorpusReport(
        documents=len(lengths),
        tokens=int(lengths.sum()),
        mean=float(lengths.mean()),
        percentile_5=float(percentile_5),
        median=float(median),
        percentile_95=float(percentile_95),
        longest=int(lengths.max()),
        truncation=truncation,
        share_over_limit=float((lengths > truncation).mean()),
        dropped_share=float(dropped / max(1, lengths.sum())),
    )


def percent(share: float) -> str:
    """Return a share between 0 and 1 as text, such as "41.2 %"."""
    return f"{100 * share:.1f} %"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as "1 document" or "1,200 tokens"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
