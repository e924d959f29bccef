"""Real documents: memenc beside fine-tuned truncation, fine-tuned chunk-and-pool and TF-IDF, same training budget.

    python benchmarks/documents/real.py --data FOLDER --backbone PATH [--datasets movie_reviews,article_bias]

FOLDER holds <dataset>/train.jsonl.gz and validation.jsonl.gz with "text" and "label". The validation file is the test:
epochs are chosen on a tenth of the training documents, nothing is chosen on the test. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import rows
from rows import Row
from sklearn.metrics import f1_score

from memenc.baselines import BASELINES
from memenc.data import read_records
from memenc.estimator import LongDocumentClassifier


def documents(path: Path, per_class: int | None, seed: int) -> tuple[list[str], list[str]]:
    """Texts and labels, at most `per_class` of each label, drawn by seed."""
    by_label = defaultdict(list)
    for record in read_records(path):
        by_label[record.label].append(record.text)
    chosen = []
    generator = random.Random(seed)
    for label, texts in sorted(by_label.items()):
        generator.shuffle(texts)
        chosen += [(text, label) for text in texts[:per_class]]
    generator.shuffle(chosen)
    return [text for text, _ in chosen], [label for _, label in chosen]


def classifier_named(name: str, arguments: argparse.Namespace, seed: int):
    """An unfitted classifier: a memenc design, or a baseline with the same backbone and training budget."""
    memory = name if name not in BASELINES else "none"
    options = {"compressive": {"window": 256, "slots": 64, "rate": 4}, "windowed": {"window": 256}}.get(memory)
    training = {
        "epochs": arguments.epochs,
        "learning_rate": arguments.learning_rate,
        "new_learning_rate": arguments.new_learning_rate,
        "documents_per_step": arguments.documents_per_step,
        "bf16": arguments.bf16,
        "patience": 0,
    }
    ours = LongDocumentClassifier(
        arguments.backbone,
        memory=memory,
        memory_options=options,
        model_options={"segment_length": arguments.segment_length, "memory_layers": arguments.memory_layers},
        training=training,
        random_state=seed,
    )
    return BASELINES[name](ours) if name in BASELINES else ours


def measure(cell: Row, arguments: argparse.Namespace) -> list[Row]:
    """Train and score one model."""
    folder, seed = arguments.data / cell["dataset"], int(cell["seed"])
    texts, labels = documents(folder / "train.jsonl.gz", arguments.per_class, seed)
    test_texts, test_labels = documents(folder / "validation.jsonl.gz", arguments.test_per_class, 0)
    started = time.monotonic()
    classifier = classifier_named(cell["model"], arguments, seed).fit(texts, labels)
    trained = time.monotonic()
    predicted = classifier.predict(test_texts)
    accuracy = float((predicted == np.asarray(test_labels)).mean())
    settings = ("segment_length", "new_learning_rate", "bf16")
    row = {
        "accuracy": round(accuracy, 4),
        "standard_error": round(float(np.sqrt(accuracy * (1 - accuracy) / len(test_texts))), 4),
        "macro_f1": round(float(f1_score(test_labels, predicted, average="macro")), 4),
        "training_documents": len(texts),
        "test_documents": len(test_texts),
        **{name: getattr(arguments, name) for name in settings},
        "training_seconds": round(trained - started),
        "test_seconds": round(time.monotonic() - trained),
    }
    return [cell | row]


def main() -> None:
    parser = rows.parser(__doc__, "real_documents.csv")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", default="movie_reviews,article_bias")
    parser.add_argument("--models", default="tf-idf,compressive,truncate,chunk-and-pool")
    parser.add_argument("--per-class", type=int, help="training documents of each class; all if left out")
    parser.add_argument("--test-per-class", type=int, help="test documents of each class; all if left out")
    parser.add_argument("--segment-length", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--new-learning-rate", type=float, default=1e-3)
    parser.add_argument("--documents-per-step", type=int, default=8)
    parser.add_argument("--memory-layers", default="auto", help="auto, all or upper_half")
    arguments = parser.parse_args()
    columns = {"seed": arguments.seeds, "dataset": arguments.datasets, "model": arguments.models}
    budget = {name: getattr(arguments, name) for name in ("epochs", "learning_rate", "documents_per_step")}
    fixed = {"memory_layers": arguments.memory_layers, "documents_per_class": arguments.per_class or "all"}
    wanted = rows.cells(columns, fixed | budget)
    rows.fill(arguments.output, wanted, lambda cell: measure(cell, arguments))


if __name__ == "__main__":
    main()
