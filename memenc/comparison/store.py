"""Finished cells as files: whole or not there at all, found again by what they are."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from memenc.comparison.cells import Cell
from memenc.storage.files import write_whole
from memenc.storage.results import plain

Status = Literal["done", "not run", "failed"]


def checksum_of(facts: Any) -> str:
    """Of plain values, as they come back from a file."""
    return hashlib.sha256(json.dumps(json.loads(json.dumps(facts)), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Args:
        status: done, not run (with the reason) or failed (with the error).
        facts: what was measured.
        reason: why it was not run, or what went wrong.
    """

    status: Status
    facts: dict[str, Any]
    reason: str = ""


def readable_name(cell: Cell) -> str:
    """What a cell is, for the names of its files."""
    names = [cell.task.name, cell.contender.name, *([str(cell.budget)] if cell.budget else []), f"seed{cell.seed}"]
    return re.sub(r"[^A-Za-z0-9+.-]", "-", "_".join(names))


class CellStore:
    """The folder `cells` of a comparison.

    Args:
        folder: of the comparison.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cells"

    def path(self, cell: Cell) -> Path:
        """File of a cell: readable, and unmistakable by its identity."""
        return self.folder / f"{readable_name(cell)}_{cell.identity}.json"

    def finished(self, cell: Cell) -> Outcome | None:
        """A cell that was measured before; None if it was not, or failed, or its file is damaged."""
        try:
            content = json.loads(self.path(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or not isinstance(content.get("facts"), dict):
            return None
        whole = content.get("status") == "done" and content.get("identity") == cell.identity
        # Cells from before checksums were kept have none.
        whole &= content.get("checksum") in (None, checksum_of(content["facts"]))
        return Outcome("done", content["facts"]) if whole else None

    def keep(self, cell: Cell, outcome: Outcome) -> None:
        """Write a cell down; what was not run or failed is tried again next time."""
        facts = plain(outcome.facts)
        content = {"identity": cell.identity, **cell.key, **vars(outcome), "checksum": checksum_of(facts)}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.path(cell), json.dumps(plain(content), indent=2) + "\n")
