"""Small files of documents, and options that make training on them fast."""

import json
from pathlib import Path

from tests.tiny import tiny_documents

SMALL = ["--segment-length", "16", "--memory-option", "window=8", "--memory-option", "slots=4"]
FAST = ["--epochs", "1", "--documents-per-step", "8", "--device", "cpu"]


def reviews(count, seed=0):
    """Rows with a text of 5 to 60 words and the label "good" or "bad"."""
    texts, labels = tiny_documents(count, (5, 60), seed)
    return [
        {"id": f"review-{number}", "text": text, "label": label}
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def write_lines(path, rows):
    """JSON Lines; rows that are text are written as they are."""
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")
    return path
