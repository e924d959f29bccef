import random

import pytest

from memenc.data import CorpusReport, corpus_report


def test_numbers_worked_out_by_hand():
    lengths = [100, 200, 300, 400, 1000]
    random.shuffle(lengths)
    assert corpus_report(iter(lengths), truncation=250) == CorpusReport(
        documents=5,
        tokens=2000,
        mean=400.0,
        percentile_5=120.0,  # a fifth of the way from the first to the second
        median=300.0,
        percentile_95=pytest.approx(880.0),  # four fifths of the way from the fourth to the fifth
        longest=1000,
        truncation=250,
        share_over_limit=0.6,
        dropped_share=0.475,  # (50 + 150 + 750) / 2000
    )


def test_as_text():
    report = corpus_report([1000, 2000, 3000], truncation=1500)
    assert report.lines() == [
        "3 documents, 6,000 tokens (median 2,000, 95th percentile 2,900, longest 3,000)",
        "truncation at 1,500 tokens would drop 33.3 % of your tokens and shorten 66.7 % of your documents",
    ]
    assert str(report) == "; ".join(report.lines())
    assert str(corpus_report([1])).startswith("1 document, 1 token (")


def test_a_document_exactly_at_the_limit_loses_nothing():
    report = corpus_report([512, 511, 0])
    assert (report.share_over_limit, report.dropped_share) == (0.0, 0.0)


def test_empty_documents():
    report = corpus_report([0, 0])
    assert (report.tokens, report.mean, report.dropped_share) == (0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("lengths", "truncation", "message"),
    [([], 512, "got no documents"), ([5, -3], 512, "got the length -3"), ([5], 0, "at least 1 token, got 0")],
)
def test_impossible_lengths(lengths, truncation, message):
    with pytest.raises(ValueError, match=message):
        corpus_report(lengths, truncation)
