"""A trained classifier as a folder: write it, read it, and read documents with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from memenc.data.labels import MULTI, REGRESSION, SINGLE, Labels
from memenc.data.records import Record, batches_of
from memenc.estimator import ESTIMATOR_FILE, LongDocumentClassifier
from memenc.files import check_if_sealed
from memenc.pretrained import load_whole
from memenc.tasks import MemencForSequenceClassification
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import predict_logits

# What is held at a time when a file is read in a stream: so many documents, or so many characters.
DOCUMENTS_PER_CHUNK = 256
CHARACTERS_PER_CHUNK = 16_000_000


@dataclass(frozen=True)
class Classifier:
    """What `memenc train` leaves behind.

    Args:
        model: fine-tuned.
        tokenizer: of its backbone.
        labels: what its outputs mean.
    """

    model: MemencForSequenceClassification
    tokenizer: PreTrainedTokenizerBase
    labels: Labels

    def read(self, texts: Iterable[str]) -> tuple[np.ndarray, list[int]]:
        """Logits (documents, labels), and the tokens of every document."""
        documents = TokenizedDocuments.from_texts(texts, self.tokenizer)
        return predict_logits(self.model, documents), documents.lengths

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        """Label and probabilities (None for regression) of one document's logits (labels,)."""
        if self.labels.problem_type == REGRESSION:
            return {"label": float(logits[0]), "probabilities": None}
        exact = torch.from_numpy(logits).double()
        several = self.labels.problem_type == MULTI
        shares = (exact.sigmoid() if several else exact.softmax(-1)).tolist()
        label = self.labels.decode(logits > 0 if several else logits.argmax())
        probabilities = {name: round(share, 6) for name, share in zip(self.labels.names, shares, strict=True)}
        return {"label": list(label) if several else label, "probabilities": probabilities}


def save_classifier(path: Path, estimator: LongDocumentClassifier, classifier: Classifier) -> None:
    """Write the folder that LongDocumentClassifier.save_pretrained writes, with the kind of problem beside the classes.

    Args:
        path: folder.
        estimator: holds the parameters that the classifier was made with.
        classifier: trained.
    """
    estimator.classes_ = np.asarray(classifier.labels.classes)
    estimator.model_, estimator.tokenizer_ = classifier.model, classifier.tokenizer
    estimator.save_pretrained(path)


def load_classifier(path: Path, device: torch.device) -> Classifier:
    """Read a folder written by `memenc train` or LongDocumentClassifier.save_pretrained.

    Raises:
        ValueError: it is no such folder, or it is damaged.
    """
    file = path / ESTIMATOR_FILE
    if not file.is_file():
        raise ValueError(f"{path} holds no {ESTIMATOR_FILE}; give a folder written by memenc train or save_pretrained")
    check_if_sealed(path)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        classes, problem_type = tuple(kept["classes"]), kept.get("problem_type", SINGLE)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}); train again, or copy the folder again") from error
    labels = Labels(problem_type, tuple(map(str, classes)), classes)
    model = load_whole(MemencForSequenceClassification, path)
    model.to(device)  # pyright: ignore[reportArgumentType] transformers hides the signature
    return Classifier(model, AutoTokenizer.from_pretrained(path), labels)


def chunks_of(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in lists that can be held at a time."""
    return batches_of(records, DOCUMENTS_PER_CHUNK, CHARACTERS_PER_CHUNK)
