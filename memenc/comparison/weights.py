"""Trained weights of cells: kept, so that a kill while testing or another test length costs no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memenc.comparison.cells import Cell
from memenc.comparison.store import checksum_of, readable_name
from memenc.state import fingerprint_of_weights
from memenc.storage.files import whole_file

FORMAT = "memenc.comparison-weights"


class WeightStore:
    """The folder `weights` of a comparison, or that of trainings under way.

    Args:
        folder: of the comparison.
        kind: name of the folder in it.
    """

    def __init__(self, folder: Path, kind: str = "weights") -> None:
        self.folder = folder / kind

    def path(self, cell: Cell) -> Path:
        """File of a cell's weights: cells that differ in their tests alone share it."""
        return self.folder / f"{readable_name(cell)}_{cell.training_identity}.safetensors"

    def keep(self, cell: Cell, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write trained weights down, with how their training went."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Tied weights are written twice: the format has no tensors that share their bytes.
        layout = torch.contiguous_format
        tensors = {name: tensor.detach().cpu().clone(memory_format=layout) for name, tensor in weights.items()}
        metadata = {"format": FORMAT, "facts": json.dumps(facts), "checksum": _checksum(cell, tensors, facts)}
        with whole_file(self.path(cell)) as temporary:
            save_file(tensors, temporary, metadata)

    def kept(self, cell: Cell) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Weights, and how their training went; None if there are none, or the file is damaged or foreign."""
        try:
            with safe_open(self.path(cell), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads(metadata["facts"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, OverflowError, RuntimeError):
            return None
        whole = metadata.get("format") == FORMAT and metadata.get("checksum") == _checksum(cell, tensors, facts)
        return (tensors, facts) if whole else None

    def of_trainings(self) -> WeightStore:
        """The folder `trainings` beside this one: checkpoints of trainings that are not finished."""
        return WeightStore(self.folder.parent, "trainings")

    def drop(self, cell: Cell) -> None:
        """Remove a cell's weights."""
        self.path(cell).unlink(missing_ok=True)


def _checksum(cell: Cell, tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    return fingerprint_of_weights(cell.training_identity + checksum_of(facts), tensors)
