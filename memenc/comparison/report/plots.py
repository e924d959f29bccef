"""The plots of a report as PNG: accuracy against length, bytes against effective length, cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from memenc.comparison.report.tables import lines_of, within
from memenc.comparison.statistics import Score, effective_length, task_names
from memenc.storage.pictures import write_picture

if TYPE_CHECKING:
    from memenc.comparison.run import Comparison

# Okabe and Ito 2008: eight colours that colour-blind people can tell apart; the next eight have other dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C7A00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
HEIGHT, DOTS = 4.2, 110


def save_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """Write all plots that have something to show."""
    # Figures of their own, without pyplot: no display is needed and no global state is left.
    folder.mkdir(parents=True, exist_ok=True)
    names = [contender.name for contender in comparison.settings.contenders]
    run, threshold = run_only(comparison.scores), comparison.settings.testing.threshold
    paths = []
    for task in task_names(comparison.scores):
        for budget in comparison.settings.budgets:
            scores = within(run, task, budget)
            if scores:
                paths.append(folder / f"accuracy_{plain_name(task)}_{budget}.png")
                save_accuracy(scores, names, paths[-1], threshold)
        scores = [score for score in run if score.task == task and score.kind != "baseline"]
        if scores:
            paths.append(folder / f"bytes_{plain_name(task)}.png")
            save_bytes(scores, names, paths[-1], threshold)
    if run:
        paths.append(folder / "cost.png")
        save_cost(comparison, names, paths[-1])
    return paths


def save_accuracy(scores: Sequence[Score], names: Sequence[str], path: Path, threshold: float) -> None:
    """Accuracy against length for one task: memories in one panel, what stands beside them in another."""
    panels = {
        title_of(scores): [score for score in scores if score.kind == "memory"],
        "baselines and published packages": [score for score in scores if score.kind != "memory"],
    }
    panels = {title: lines_of(part) for title, part in panels.items() if part}
    heights = [panel_height(len(lines) + 2) for lines in panels.values()]
    figure = Figure(figsize=(10, sum(heights)), layout="constrained")
    drawn = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).flat
    for axes, (title, lines) in zip(drawn, panels.items(), strict=True):
        for name, line in lines.items():
            accuracy_line(axes, line, name, style_of(name, line[0].kind, names))
        guessing_and_threshold(axes, scores, threshold)
        length_axis(axes, sorted({score.segments for score in scores}))
        axes.set(ylabel="accuracy ± standard error", ylim=(0, 1.03), title=title)
        legend(axes)
    write_picture(path, figure, DOTS)


def accuracy_line(axes: Axes, line: Sequence[Score], name: str, style: dict[str, Any]) -> None:
    """One contender, with a band of one standard error."""
    lengths = [score.segments for score in line]
    means, errors = [score.accuracy or 0.0 for score in line], [score.error for score in line]
    axes.plot(lengths, means, label=name, **style)
    low = [mean - error for mean, error in zip(means, errors, strict=True)]
    high = [mean + error for mean, error in zip(means, errors, strict=True)]
    axes.fill_between(lengths, low, high, color=style["color"], alpha=0.12, linewidth=0)


def guessing_and_threshold(axes: Axes, scores: Sequence[Score], threshold: float) -> None:
    """The two lines that say what an accuracy is worth."""
    chance = next((score.chance for score in scores if score.chance), None)
    if chance is not None:
        axes.axhline(chance, color="grey", linestyle=(0, (1, 2)), label="guessing")
    axes.axhline(threshold, color="grey", linewidth=0.8, label=f"threshold {threshold}")


def save_bytes(scores: Sequence[Score], names: Sequence[str], path: Path, threshold: float) -> None:
    """State bytes against effective length for one task; baselines keep no state and are left out."""
    height = panel_height(max(len(lines_of(scores)), 3 * len({score.segments for score in scores})))
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.add_subplot()
    bytes_panel(axes, scores, names, threshold)
    title = f"{scores[0].task}: what a state of so many bytes holds"
    held = "effective length (segments); designs of a band lie one below the other"
    axes.set(xlabel="state bytes per document", ylabel=held, title=title)
    legend(axes)
    write_picture(path, figure, DOTS)


def bytes_panel(axes: Axes, scores: Sequence[Score], names: Sequence[str], threshold: float) -> None:
    """One band per length; designs of the same bytes lie beside each other within it."""
    lengths = sorted({score.segments for score in scores})
    kept = [contender for contender in names if any(score.contender == contender for score in scores)]
    labels: set[str] = set()
    for (name, _), line in by_model(scores).items():
        held = effective_length(line, threshold)
        band = 0 if held is None else 1 + lengths.index(held.segments)
        offset = 0.7 * ((kept.index(name) + 0.5) / len(kept) - 0.5)
        style: dict[str, Any] = style_of(name, line[0].kind, names) | {"linestyle": "none"}
        state = (held or line[-1]).costs.get("state_bytes") or 0
        axes.plot(state, band - offset, label=None if name in labels else name, **style)
        labels.add(name)
    for band in range(len(lengths)):
        axes.axhline(band + 0.5, color="grey", linewidth=0.5)
    axes.set_yticks(range(len(lengths) + 1), ["never", *(f"{length:,}" for length in lengths)])
    axes.set_ylim(-0.5, len(lengths) + 0.5)
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlim(-30, 2 * max((score.costs.get("state_bytes") or 0 for score in scores), default=0) + 100)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def by_model(scores: Sequence[Score]) -> dict[tuple[str, int | None], list[Score]]:
    """Scores by contender and budget."""
    groups: dict[tuple[str, int | None], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.contender, score.budget), []).append(score)
    return groups


def save_cost(comparison: Comparison, names: Sequence[str], path: Path) -> None:
    """Operations per token against tokens per second, on the first task."""
    task = comparison.settings.tasks[0].name
    lines = by_model([score for score in run_only(comparison.scores) if score.task == task])
    figure = Figure(figsize=(10, panel_height(len({name for name, _ in lines}))), layout="constrained")
    axes = figure.add_subplot()
    for (name, budget), line in lines.items():
        flops, speed = line[-1].costs.get("flops_per_token"), line[-1].costs.get("tokens_per_second")
        if flops and speed and budget in (None, comparison.settings.budgets[0]):
            style: dict[str, Any] = style_of(name, line[-1].kind, names) | {"linestyle": "none"}
            axes.plot(flops, speed, label=name, **style)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    title = f"cost on {task}, memories of {comparison.settings.budgets[0]:,} bytes"
    axes.set(xlabel="operations per token", ylabel="tokens per second", title=title)
    legend(axes)
    write_picture(path, figure, DOTS)


def run_only(scores: Sequence[Score]) -> list[Score]:
    """Scores with a number."""
    return [score for score in scores if score.accuracy is not None]


def style_of(name: str, kind: str, names: Sequence[str]) -> dict[str, Any]:
    """The same colour, marker and dashes for a contender in every plot; markers of baselines are hollow."""
    turn, place = divmod(names.index(name), len(COLOURS))
    colour, marker = COLOURS[place], MARKERS[(place + turn) % len(MARKERS)]
    filled = {"markerfacecolor": "white"} if kind != "memory" else {}
    return {"color": colour, "marker": marker, "markersize": 6.5, "linestyle": DASHES[turn % len(DASHES)], **filled}


def panel_height(entries: int) -> float:
    """Inches that a legend of so many entries beside a panel needs."""
    return max(HEIGHT, 0.22 * entries + 1.2)


def length_axis(axes: Axes, lengths: Sequence[int]) -> None:
    """Lengths in segments, evenly in their logarithms."""
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("segments per document, the question among them")


def title_of(scores: Sequence[Score]) -> str:
    """Task and budget."""
    budget = next((score.budget for score in scores if score.budget is not None), None)
    return scores[0].task + ("" if budget is None else f", memories of {budget:,} bytes")


def legend(axes: Axes) -> None:
    """Outside, where it covers nothing."""
    # Of lines without a name, or no lines, matplotlib says that there is nothing to name.
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False)


def plain_name(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9+.-]", "-", name)
