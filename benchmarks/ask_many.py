"""Encode once, ask many: what the 2nd to the last question about one long document cost beside the first.

    python benchmarks/ask_many.py --backbone PATH [--tokens 100000] [--questions 1000]

The first question is asked of a document that nobody has read: its cost is reading and answering. Every later one reads
what was kept. The model is not trained, which does not change the cost; the document is random tokens.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from memenc import MemencForQuestionAnswering
from memenc.storage.results import append_rows, environment_columns

RESULTS = Path(__file__).parent / "results" / "ask_many.csv"
PIECE = 16_384


@torch.no_grad()
def measure(arguments: argparse.Namespace, memory: str) -> dict:
    """Seconds of the first question and of all others."""
    device = torch.device(arguments.device)
    model = MemencForQuestionAnswering.from_backbone(
        arguments.backbone, memory=memory, question_position="last", num_labels=4
    ).to(device)
    vocabulary = model.memenc.get_input_embeddings().weight.shape[0]
    ids = torch.randint(1_000, vocabulary, (1, arguments.tokens), device=device)
    questions = torch.randint(1_000, vocabulary, (arguments.questions, arguments.question_tokens), device=device)
    model.ask(model.read(ids[:, :1_024]), questions[:1])

    started, read = time.perf_counter(), None
    for piece in ids.split(PIECE, 1):
        read = model.read(piece, before=read)
    assert read is not None
    float(model.ask(read, questions[:1]).logits.sum())
    first, started = time.perf_counter() - started, time.perf_counter()
    for part in questions[1:].split(arguments.questions_per_call):
        float(model.ask(read.select([0] * len(part)), part).logits.sum())
    later = (time.perf_counter() - started) / (arguments.questions - 1)
    return {
        "memory": memory,
        "tokens": arguments.tokens,
        "questions": arguments.questions,
        "question_tokens": arguments.question_tokens,
        "questions_per_call": arguments.questions_per_call,
        "first_seconds": round(first, 3),
        "later_seconds": round(later, 5),
        "share": round(later / first, 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--memories", default="compressive,none")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--question-tokens", type=int, default=16)
    parser.add_argument("--questions-per-call", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    facts = environment_columns()
    for memory in arguments.memories.split(","):
        row = measure(arguments, memory)
        print(row)
        append_rows(arguments.output, [row | facts])


if __name__ == "__main__":
    main()
