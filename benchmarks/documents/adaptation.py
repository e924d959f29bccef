"""Ways to adapt on movie reviews: accuracy, trained parameters, time and peak memory of all five, same splits.

    python benchmarks/documents/adaptation.py --data FOLDER --backbone PATH [--training-documents N] [--bf16]

FOLDER is that of real.py, whose splits, memory and settings these are; every way trains `compressive` memory with
learning rates of its own. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from real import documents

from memenc.estimator import LongDocumentClassifier
from memenc.storage.results import append_rows, environment_columns
from memenc.training.adaptation import ADAPTATIONS

RESULTS = Path(__file__).parents[1] / "results" / "adaptation.csv"
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


def measure(way: str, seed: int, arguments: argparse.Namespace) -> dict:
    """Train and score one way."""
    folder = arguments.data / "movie_reviews"
    count = arguments.training_documents
    texts, labels = documents(folder / "train.jsonl.gz", count and count // CLASSES, seed)
    test_texts, test_labels = documents(folder / "validation.jsonl.gz", arguments.test_per_class, 0)
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
    return {
        "dataset": "movie_reviews",
        "adapt": way,
        "backbone": Path(arguments.backbone).name,
        "seed": seed,
        "accuracy": round(accuracy, 4),
        "standard_error": round(float(np.sqrt(accuracy * (1 - accuracy) / len(test_texts))), 4),
        "trained_parameters": cost.trained_parameters,
        "trained_share": round(cost.trained_share, 6),
        "training_seconds": round(cost.seconds, 1),
        "peak_megabytes": None if cost.peak_memory_bytes is None else round(cost.peak_memory_bytes / 1e6),
        "training_documents": len(texts),
        "test_documents": len(test_texts),
        "test_seconds": round(time.monotonic() - started, 1),
    } | {name: training[name] for name in ("epochs", "learning_rate", "new_learning_rate", "bf16")}


def key(row: dict) -> tuple:
    names = ("adapt", "backbone", "seed", "training_documents", "test_documents", "bf16")
    return tuple(str(row[name]) for name in names)


def planned(way: str, seed: int, arguments: argparse.Namespace) -> tuple:
    """The key that the row will have."""
    folder = arguments.data / "movie_reviews"
    count = arguments.training_documents
    training = len(documents(folder / "train.jsonl.gz", count and count // CLASSES, seed)[0])
    test = len(documents(folder / "validation.jsonl.gz", arguments.test_per_class, 0)[0])
    return tuple(map(str, (way, Path(arguments.backbone).name, seed, training, test, arguments.bf16)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--ways", default=",".join(ADAPTATIONS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--training-documents", type=int, help="so many, half of each class; all if left out")
    parser.add_argument("--test-per-class", type=int, help="test documents of each class; all if left out")
    parser.add_argument("--epochs", type=float, help="of every way, instead of its own number")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    facts = environment_columns()
    done = {key(row) for row in csv.DictReader(arguments.output.open())} if arguments.output.exists() else set()
    for seed in map(int, arguments.seeds.split(",")):
        for way in arguments.ways.split(","):
            if planned(way, seed, arguments) not in done:
                row = measure(way, seed, arguments)
                print(row)
                append_rows(arguments.output, [row | facts])


if __name__ == "__main__":
    main()
