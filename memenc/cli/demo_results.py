"""The table and the plot of `memenc demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.table import Table

from memenc.cli import console
from memenc.storage.pictures import write_picture


def show_table(records: Sequence[dict[str, Any]]) -> None:
    """One line per model, one column per length, standard errors behind the accuracies."""
    lengths = sorted({record["tokens"] for record in records})
    table = Table(title="accuracy on unseen documents, with standard errors", title_justify="left")
    table.add_column("model")
    for tokens in lengths:
        table.add_column(f"{tokens:,} tokens", justify="right")
    for name, line in by_model(records).items():
        table.add_row(name, *(f"{record['accuracy']:.2f} ± {record['standard_error']:.2f}" for record in line))
    console.out().print(table)


def by_model(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Records of every model, by length."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: record["tokens"]):
        lines.setdefault(record["model"], []).append(record)
    return {name: lines[name] for name in dict.fromkeys(record["model"] for record in records)}


def save_plot(records: Sequence[dict[str, Any]], path: Path, chance: float) -> None:
    """Accuracy against length as PNG, one line per model, with standard errors and the line of guessing."""
    # A Figure of its own, without pyplot: no display is needed and no global state is left.
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, line in by_model(records).items():
        lengths, accuracies = [record["tokens"] for record in line], [record["accuracy"] for record in line]
        axes.errorbar(
            lengths, accuracies, [record["standard_error"] for record in line], marker="o", capsize=3, label=name
        )
    axes.axhline(chance, color="grey", linestyle=":", label="guessing")
    ticks = sorted({record["tokens"] for record in records})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tokens:,}" for tokens in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="tokens per document", ylabel="accuracy (± standard error)", ylim=(0, 1.02))
    axes.set_title("One sentence at a random place decides the label")
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    write_picture(path, figure, dots=150)
