"""A label hidden in one sentence: accuracy against document length, for memenc designs and for simple baselines.

    python benchmarks/documents/decisive_sentence.py --backbone PATH [--models compressive,tf-idf] [--seeds 0]

Settings were chosen on the validation split (seed 0, compressive, paraphrase); the test split was read once per row.
Every model is trained on the same short documents and tested on unseen filler, subjects and (variant "paraphrase")
phrasings at every length. Finished rows are kept in benchmarks/results/decisive_sentence.csv and not computed again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import rows
from rows import Row

from memenc.baselines import BASELINES
from memenc.data.decisive_sentence import generate
from memenc.estimator import LongDocumentClassifier

# Chunks of about 60 tokens -> documents to test on: fewer of the long ones, which cost sixty times as much.
TEST_DOCUMENTS = {4: 600, 16: 600, 64: 300, 256: 150}
TRAINING_CHUNKS = (1, 24)
LONG_CHUNKS = (64, 128)


def classifier_named(name: str, arguments: argparse.Namespace, seed: int):
    """An unfitted classifier: a memenc design, or a baseline with the same backbone and training budget."""
    memory = name if name not in BASELINES else "none"
    options = {"compressive": {"window": 128, "slots": 64, "rate": 4}, "windowed": {"window": 128}}.get(memory)
    ours = LongDocumentClassifier(
        arguments.backbone,
        memory=memory,
        memory_options=options,
        model_options={"segment_length": 128, "memory_layers": arguments.memory_layers},
        training={
            "epochs": arguments.epochs,
            "learning_rate": arguments.learning_rate,
            "validation_share": 0.0,
            "documents_per_step": 8,
            "shortest_first": True,
            "bf16": arguments.bf16,
        },
        random_state=seed,
    )
    return BASELINES[name](ours) if name in BASELINES else ours


def measure(cell: Row, arguments: argparse.Namespace) -> list[Row]:
    """Train one model and test it: one row per length."""
    name, variant, seed = cell["model"], cell["variant"], int(cell["seed"])
    training = generate(arguments.training_documents, TRAINING_CHUNKS, "train", variant, seed)
    if arguments.long_documents:
        training += generate(arguments.long_documents, LONG_CHUNKS, "train", variant, 500 + seed)
    started = time.monotonic()
    classifier = classifier_named(name, arguments, seed)
    classifier.fit([document.text for document in training], [document.label for document in training])
    seconds = time.monotonic() - started
    if arguments.save and name not in BASELINES:
        classifier.save_pretrained(arguments.save / f"{name}-{variant}-{seed}")
    tested = []
    for chunks, count in TEST_DOCUMENTS.items():
        count = max(8, round(count * arguments.test_share))
        test = generate(count, chunks, arguments.split, variant, 1_000 + seed)
        truth = np.array([document.label for document in test])
        started = time.monotonic()
        right = classifier.predict([document.text for document in test]) == truth
        accuracy = float(right.mean())
        row = {
            "tokens": chunks * 60,
            "accuracy": round(accuracy, 4),
            "standard_error": round(float(np.sqrt(accuracy * (1 - accuracy) / count)), 4),
            "test_documents": count,
            "training_documents": arguments.training_documents,
            "training_chunks": "-".join(map(str, TRAINING_CHUNKS)),
            "epochs": arguments.epochs,
            "learning_rate": arguments.learning_rate,
            "bf16": arguments.bf16,
            "training_seconds": round(seconds),
            "test_seconds": round(time.monotonic() - started),
        }
        tested.append(cell | row)
    return tested


def main() -> None:
    parser = rows.parser(__doc__, "decisive_sentence.csv")
    parser.add_argument("--models", default="compressive,none,tf-idf,truncate,chunk-and-pool")
    parser.add_argument("--variants", default="fixed,paraphrase")
    parser.add_argument("--training-documents", type=int, default=500)
    parser.add_argument(
        "--long-documents", type=int, default=0, help="training documents of {}-{} chunks besides".format(*LONG_CHUNKS)
    )
    parser.add_argument("--split", default="test", help="validation, to choose settings; give another --output then")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--test-share", type=float, default=1.0, help="share of the test documents, for a quick look")
    parser.add_argument("--memory-layers", default="auto", help="auto, all or upper_half")
    parser.add_argument("--save", type=Path, help="folder to keep the trained models in, as MODEL-VARIANT-SEED")
    arguments = parser.parse_args()
    columns = {"seed": arguments.seeds, "variant": arguments.variants, "model": arguments.models}
    names = ("memory_layers", "long_documents", "training_documents", "epochs", "learning_rate", "bf16")
    fixed = {name: getattr(arguments, name) for name in names}
    fixed["changed"] = rows.changed(parser, arguments, "test_share", "split")
    rows.fill(arguments.output, rows.cells(columns, fixed), lambda cell: measure(cell, arguments))


if __name__ == "__main__":
    main()
