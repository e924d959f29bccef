"""Does explain() name the segment that decides? On documents whose label hides in one sentence that is known.

    python benchmarks/documents/decisive_sentence.py --backbone PATH --models none --variants paraphrase --save FOLDER
    python benchmarks/documents/explain.py --model FOLDER/none-paraphrase-0

Counted are documents that the model labels rightly: an explanation of a wrong answer has no right segment. The decisive
sentence may lie across the border of two segments; either is right then, and guessing has two chances.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from memenc.data.decisive_sentence import generate
from memenc.diagnostics.attribution import segments_of_passage
from memenc.estimator import LongDocumentClassifier
from memenc.storage.results import append_rows, environment_columns

RESULTS = Path(__file__).parents[1] / "results" / "explain.csv"


def measure(classifier: LongDocumentClassifier, chunks: int, arguments: argparse.Namespace) -> dict:
    """Explain documents of one length; one row."""
    started, first, guessing, segments = time.monotonic(), [], [], []
    own = classifier.model_.memenc.own_tokens_per_segment
    documents = generate(arguments.documents, chunks, arguments.split, arguments.variant, 1_000 + arguments.seed)
    for document in documents:
        explanation = classifier.explain(document.text)
        if explanation.label == document.label:
            right = segments_of_passage(document.text, document.sentence, classifier.tokenizer_, own)
            first.append(explanation.evidence[0].segment in right)
            guessing.append(len(right) / len(explanation.evidence))
            segments.append(len(explanation.evidence))
    share = float(np.mean(first))
    return {
        "model": arguments.model.name,
        "memory": classifier.model_.config.memory,
        "variant": arguments.variant,
        "split": arguments.split,
        "segments": round(float(np.mean(segments)), 1),
        "documents": len(documents),
        "rightly_labelled": len(first),
        "decisive_segment_first": round(share, 4),
        "standard_error": round(float(np.sqrt(share * (1 - share) / len(first))), 4),
        "guessing": round(float(np.mean(guessing)), 4),
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a LongDocumentClassifier")
    parser.add_argument("--chunks", default="8,16", help="lengths of the documents, in chunks of about 60 tokens")
    parser.add_argument("--documents", type=int, default=40, help="of each length")
    parser.add_argument("--variant", default="paraphrase")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0, help="of the documents")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    facts = environment_columns()
    classifier = LongDocumentClassifier.from_pretrained(arguments.model)
    for chunks in map(int, arguments.chunks.split(",")):
        row = measure(classifier, chunks, arguments)
        print(row)
        append_rows(arguments.output, [row | facts])


if __name__ == "__main__":
    main()
