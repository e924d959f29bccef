"""TF-IDF with logistic regression: no neural network, hard to beat on topical classification."""

from __future__ import annotations

from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def tfidf(classifier: Any) -> Any:
    """Words and pairs of words, sublinear counts, logistic regression (C = 10, as in the usual strong recipe)."""
    # Only the data, and what its classes count, is shared with the classifier it is compared with.
    class_weight = (classifier.training or {}).get("class_weight")
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)
    return make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=2_000, class_weight=class_weight))
