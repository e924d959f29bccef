"""What the scripts of this folder share: an encoder to measure, and the table that is left behind."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from memenc.storage.files import whole_file
from memenc.storage.results import environment_columns

RESULTS = Path(__file__).parent / "results"


def backbone(path: str | None) -> str | torch.nn.Module:
    """The backbone at `path`, or random weights in the size of MiniLM-L6: costs do not depend on the values."""
    if path:
        return path
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return AutoModel.from_config(AutoConfig.for_model("bert", **sizes))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with versions and hardware as CSV, and a short table on the screen."""
    facts = environment_columns()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *facts])
        writer.writeheader()
        writer.writerows({**row, **facts} for row in rows)
    print("  ".join(rows[0]))
    print(*("  ".join(map(str, row.values())) for row in rows), sep="\n")
