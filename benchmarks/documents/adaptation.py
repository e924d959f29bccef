"""Ways to adapt on movie reviews: accuracy, trained parameters, time and peak memory of all five, same splits.

    python benchmarks/documents/adaptation.py --data FOLDER --backbone PATH [--training-documents N] [--bf16]

FOLDER is that of real.py, whose splits, memory and settings these are; every way trains `compressive` memory with
learning rates of its own. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import rows
from real import documents
from rows import Row

from memenc.estimator import LongDocumentClassifier
from memenc.training.adaptation import ADAPTATIONS

CLASSES = 2
MEMORY = {"window": 256, "slots": 64, "rate": 4}
# Where little is trained it may move faster, and longer.
TRAINING = {
    "full": {"epochs": 3},
    "frozen": {"epochs": 10},
    "lora": {"epochs": 5},
    "prefix": {"epochs": 10, "new_learning_rate": 3e-3},
    "bitfit": {"epochs": 5},
}


def splits(seed: int, arguments: argparse.Namespace) -> tuple[tuple[list[str], list[str]], tuple[list[str], list[str]]]:
    """Texts and labels to train on and to test on."""
    folder, count = arguments.data / "movie_reviews", arguments.training_documents
    training = documents(folder / "train.jsonl.gz", count and count // CLASSES, seed)
    return training, documents(folder / "validation.jsonl.gz", arguments.test_per_class, 0)


def measure(cell: Row, arguments: argparse.Namespace) -> list[Row]:
    """Train and score one way."""
    way, seed = cell["adapt"], int(cell["seed"])
    (texts, labels), (test_texts, test_labels) = splits(seed, arguments)
    shared = {"learning_rate": 1e-4, "new_learning_rate": 1e-3, "documents_per_step": 8, "patience": 0}
    training = shared | {"adapt": way, "bf16": arguments.bf16} | TRAINING[way]
    training |= {"epochs": arguments.epochs} if arguments.epochs else {}
    classifier = LongDocumentClassifier(
        arguments.backbone,
        memory="compressive",
        memory_options=MEMORY,
        model_options={"segment_length": 256},
        training=training,
        random_state=seed,
    ).fit(texts, labels)
    started = time.monotonic()
    accuracy = float((classifier.predict(test_texts) == np.asarray(test_labels)).mean())
    cost = classifier.cost_
    assert cost is not None
    row = {
        "dataset": "movie_reviews",
        "accuracy": round(accuracy, 4),
        "standard_error": round(float(np.sqrt(accuracy * (1 - accuracy) / len(test_texts))), 4),
        "trained_parameters": cost.trained_parameters,
        "trained_share": round(cost.trained_share, 6),
        "training_seconds": round(cost.seconds, 1),
        "peak_megabytes": None if cost.peak_memory_bytes is None else round(cost.peak_memory_bytes / 1e6),
        "test_seconds": round(time.monotonic() - started, 1),
    }
    return [cell | row | {name: training[name] for name in ("epochs", "learning_rate", "new_learning_rate")}]


def main() -> None:
    parser = rows.parser(__doc__, "adaptation.csv")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ways", default=",".join(ADAPTATIONS))
    parser.add_argument("--training-documents", type=int, help="so many, half of each class; all if left out")
    parser.add_argument("--test-per-class", type=int, help="test documents of each class; all if left out")
    parser.add_argument("--epochs", type=float, help="of every way, instead of its own number")
    arguments = parser.parse_args()
    training, test = splits(0, arguments)
    fixed = {
        "backbone": Path(arguments.backbone).name,
        "training_documents": len(training[0]),
        "test_documents": len(test[0]),
        "bf16": arguments.bf16,
    }
    wanted = rows.cells({"seed": arguments.seeds, "adapt": arguments.ways}, fixed)
    rows.fill(arguments.output, wanted, lambda cell: measure(cell, arguments))


if __name__ == "__main__":
    main()
