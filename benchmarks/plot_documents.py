"""Accuracy by length of document, from the rows that documents/decisive_sentence.py wrote.

    python benchmarks/plot_documents.py [--rows benchmarks/results/decisive_sentence.csv]

Models with a memory of memenc are drawn in colour, everything else in grey; bars are standard errors.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

RESULTS = Path(__file__).parent / "results"
NAMES = {
    "compressive": ("memenc compressive", {"color": "tab:blue", "marker": "o"}),
    "none": ("memenc none: document memory alone", {"color": "tab:cyan", "marker": "s"}),
    "chunk-and-pool": ("chunk-and-pool, fine-tuned", {"color": "0.3", "marker": "^"}),
    "truncate": ("truncation at 512, fine-tuned", {"color": "0.5", "marker": "v", "linestyle": "--"}),
    "tf-idf": ("TF-IDF + logistic regression", {"color": "0.7", "marker": "x", "linestyle": ":"}),
}
VARIANTS = {"fixed": "known phrases", "paraphrase": "unseen phrases"}
Points = dict[int, tuple[float, float]]


def lines(path: Path) -> dict[tuple[str, str], Points]:
    """Accuracy and its standard error by tokens, of every variant and model with the default layers."""
    found: dict[tuple[str, str], Points] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["memory_layers"] == "auto":
                value = (float(row["accuracy"]), float(row["standard_error"]))
                found[row["variant"], row["model"]][int(row["tokens"])] = value
    return found


def plot(found: dict[tuple[str, str], Points], path: Path) -> None:
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    for axes, (variant, title) in zip(panels, VARIANTS.items(), strict=True):
        for model, (label, style) in NAMES.items():
            points = sorted(found[variant, model].items())
            tokens, values = [x for x, _ in points], [y for _, y in points]
            accuracies, errors = zip(*values, strict=True)
            axes.errorbar(tokens, accuracies, errors, label=label, capsize=3, **style)
        axes.axhline(0.25, color="black", linewidth=0.8, linestyle=":")
        axes.text(tokens[0], 0.24, "guessing", fontsize=8, va="top")
        axes.set(xscale="log", title=title, xlabel="tokens of the document", ylim=(0, 1.04))
        axes.set_xticks(tokens, [f"{x:,}" for x in tokens], minor=False)
        axes.minorticks_off()
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=RESULTS / "decisive_sentence.csv")
    arguments = parser.parse_args()
    plot(lines(arguments.rows), arguments.rows.with_suffix(".png"))


if __name__ == "__main__":
    main()
