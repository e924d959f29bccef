"""Bars of how many times the floor each implementation takes, from the rows that kernel_speed.py wrote.

    python benchmarks/plot_kernels.py [--rows benchmarks/results/kernels_cuda.csv] [--tokens 131072] [--batch 1]

The kernels of this project are blue, everything else is grey; the line at one is the floor.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

RESULTS = Path(__file__).parent / "results"


def multiples(path: Path, **wanted: str) -> dict[str, float]:
    """Times the floor by name of the bar, of the rows whose columns are as wanted."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]
    return {
        f"{row['function']} {row['direction']}, {row['implementation']}": 1 / float(row["share_of_floor"])
        for row in rows
        if row["share_of_floor"]
    }


def plot(bars: dict[str, float], title: str, path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.25 * len(bars)), layout="constrained")
    colours = ["tab:blue" if ", triton" in name else "tab:grey" for name in bars]
    axes.bar_label(axes.barh(list(bars), list(bars.values()), color=colours), fmt="%.1f", padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="times the floor", title=title)
    axes.invert_yaxis()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=RESULTS / "kernels_cuda.csv")
    names = {"batch": "1", "tokens": "131072", "heads": "12", "dim": "64"}
    for name, default in names.items():
        parser.add_argument(f"--{name}", default=default)
    arguments = parser.parse_args()
    size = {name: getattr(arguments, name) for name in names}
    bars = dict(sorted(multiples(arguments.rows, **size).items()))
    if not bars:
        raise SystemExit(f"{arguments.rows} has no measured rows of {size}; run kernel_speed.py first")
    output = arguments.rows.with_suffix(".png")
    plot(bars, ", ".join(f"{name} {value}" for name, value in size.items()), output)
    print(output)


if __name__ == "__main__":
    main()
