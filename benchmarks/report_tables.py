"""Renew the tables of comparisons that stand in the README and in the report, from the files in `results`.

A table stands below a line such as

    <!-- table: pairs rewrite 17 101, every_design detect 4096 -->

which names folders of `results`, tasks, and lengths in segments. Errors are those of `memenc compare`: over seeds, but
never less than the number of documents allows. In tasks of pairs every segment but the last, which asks, tells one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memenc.comparison.statistics import scores_of
from memenc.storage.results import read_rows

RESULTS = Path(__file__).parent / "results"
TEXTS = (RESULTS.parents[1] / "README.md", RESULTS.parent / "REPORT.md")
MARKED = re.compile(r"(?<=<!-- table: )(?P<parts>[^>]+)(?P<end> -->\n\n)(?P<table>(?:\|.*\n)*)")
OF_PAIRS = ("remember", "rewrite")
THRESHOLD = 0.95


@dataclass(frozen=True)
class Part:
    """Columns of one task.

    Args:
        folder: in `results`.
        task: name.
        lengths: in segments.
    """

    folder: str
    task: str
    lengths: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Part:
        """From what stands between commas."""
        folder, task, *lengths = text.split()
        return cls(folder, task, [int(length) for length in lengths])

    @property
    def asked(self) -> int:
        """Segments that tell nothing."""
        return int(self.task in OF_PAIRS)

    def records(self) -> list[dict[str, Any]]:
        """Rows of all contenders that were run."""
        _, rows = read_rows(RESULTS / self.folder / "results.csv")
        return [numbers_of(row) for row in rows if row["task"] == self.task and row["accuracy"]]

    def heads(self) -> list[str]:
        """Names of the columns."""
        unit = "pairs" if self.asked else "segments"
        heads = [f"{length - self.asked:,}" for length in self.lengths]
        return [f"{self.task}, {unit}: {heads[0]}", *heads[1:]]

    def columns(self) -> dict[str, list[str]]:
        """Accuracies by contender."""
        scores = {(score.contender, score.segments): score.text for score in scores_of(self.records())}
        names = dict.fromkeys(name for name, _ in scores)
        return {name: [scores.get((name, length), "-") for length in self.lengths] for name in names}

    def ends(self) -> dict[str, list[str]]:
        """Seeds, and how far they hold, by contender."""
        lines: dict[str, dict[Any, list[dict[str, Any]]]] = {}
        for record in self.records():
            lines.setdefault(record["contender"], {}).setdefault(record["seed"], []).append(record)
        return {name: [str(len(seeds)), self.held(list(seeds.values()))] for name, seeds in lines.items()}

    def held(self, seeds: Sequence[Sequence[dict[str, Any]]]) -> str:
        """The longest documents up to which every length is at or above the threshold: the worst and the best seed."""
        reached = []
        for rows in seeds:
            line = sorted(rows, key=lambda row: row["segments"])
            lost = next((place for place, row in enumerate(line) if row["accuracy"] < THRESHOLD), len(line))
            reached.append((line[lost - 1]["segments"] - self.asked if lost else 0, lost == len(line)))
        texts = [f"{'more than ' if whole else ''}{far:,}" if far else "-" for far, whole in sorted(reached)]
        return " to ".join(dict.fromkeys((texts[0], texts[-1])))


def numbers_of(row: dict[str, str]) -> dict[str, Any]:
    """A row as `scores_of` takes it."""
    kept: dict[str, Any] = {name: row[name] for name in ("task", "contender", "kind", "budget", "seed", "not_run")}
    whole = {name: int(row[name]) for name in ("segments", "tokens", "documents", "right")}
    return kept | whole | {"accuracy": float(row["accuracy"]), "chance": float(row["chance"])}


def table_of(text: str) -> str:
    """A table in Markdown; one of a single task also says how many seeds there are, and how far they hold."""
    parts = [Part.of(part) for part in text.split(",")]
    columns, lengths = [part.columns() for part in parts], [len(part.lengths) for part in parts]
    heads = [head for part in parts for head in part.heads()]
    ends = parts[0].ends() if len(parts) == 1 else {}
    if ends:
        heads = ["seeds", *heads, f"holds {THRESHOLD} up to"]
    lines = [["", *heads], ["---"] * (len(heads) + 1)]
    for name in dict.fromkeys(name for found in columns for name in found):
        empty = [["-"] * length for length in lengths]
        cells = [cell for found, none in zip(columns, empty, strict=True) for cell in found.get(name, none)]
        lines.append([f"`{name}`", *(ends[name][:1] if ends else ()), *cells, *(ends[name][1:] if ends else ())])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def renewed(text: str) -> str:
    """The text with its tables as the results are now."""
    return MARKED.sub(lambda found: found["parts"] + found["end"] + table_of(found["parts"]), text)


if __name__ == "__main__":
    for path in TEXTS:
        path.write_text(renewed(path.read_text()))
