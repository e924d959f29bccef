"""What a model forgets, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from memenc.diagnostics.probing.capacity import CHANCE
from memenc.diagnostics.probing.linear_probe import Score
from memenc.diagnostics.probing.probe import Probe

# Of Okabe and Ito, told apart by colour-blind readers too; layers are shades of viridis.
COLOURS = {"document": "#D55E00", "top": "#CC79A7", "all": "#000000", "read": "#0072B2", "vector": "#0072B2"}
STYLES = {"document": "--", "top": "-.", "read": ":", "vector": ":"}
DPI = 120
TICKS = 5


def figures(found: Probe) -> dict[str, Figure]:
    """All pictures by the name of their file."""
    drawn: dict[str, Callable[[Probe], Figure]] = {
        "retention": _retention,
        "facts": _facts,
        "depth_map": _depth_map,
        "capacity": _capacity,
        "long_reading": _long_reading,
        "attribution": _attribution,
    }
    pictures = {name: draw(found) for name, draw in drawn.items()}
    return pictures if found.endings is None else pictures | {"endings": _endings(found)}


def _figure(title: str, columns: int, width: float = 13.0) -> tuple[Figure, Sequence[Axes]]:
    # A Figure of its own, without pyplot: no display is needed and no global state is left.
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _styled(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Line styles by name; layers from dark to light, from the bottom up."""
    layers = [name for name in names if name.split()[0] not in COLOURS]
    shades = colormaps["viridis"].resampled(max(2, len(layers) + 1))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        kind = name.split()[0]
        colour = COLOURS[kind] if kind in COLOURS else shades(layers.index(name))
        width = 2.4 if kind in ("all", "read", "vector") else 1.4
        found[name] = {"color": colour, "linestyle": STYLES.get(kind, "-"), "linewidth": width, "marker": "."}
    return found


def _legend(axes: Axes, of: Axes | None = None) -> None:
    """Names of the lines of these axes, or of others beside them, to the right."""
    handles, labels = (of or axes).get_legend_handles_labels()
    axes.legend(handles, labels, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _doubling(axes: Axes, ticks: Sequence[int], label: str) -> None:
    """A logarithmic axis, with room for 0 where it is asked for; few enough of the ticks have numbers."""
    if ticks[0] == 0:
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.set_xlim(-0.25, ticks[-1] * 1.2)
    else:
        axes.set_xscale("log", base=2)
    shown = ticks[:: -max(1, -(-len(ticks) // TICKS))][::-1]
    # "0: right after the write" is said on the axis.
    shown = [0, *shown] if ticks[0] == 0 and shown[0] != 0 else shown
    axes.set_xticks(shown, [f"{tick:,}" for tick in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def _band(axes: Axes, places: Sequence[float], scores: Sequence[Score], label: str, style: dict[str, Any]) -> None:
    axes.errorbar(places, [x.mean for x in scores], [x.error for x in scores], capsize=2, label=label, **style)


def _retention(found: Probe) -> Figure:
    kept = found.retention
    figure, (state, tokens, vector) = _figure(
        f"memory {kept.memory}: what is left of one segment ({kept.documents} documents, ± standard error)", 3, 15.0
    )
    styles = _styled([part.name for part in kept.parts])
    for part in kept.parts:
        style, every = styles[part.name], range(kept.segments + 1)
        state.errorbar(every, part.state.mean, part.state.error, capsize=2, **style)
        state.plot(every, part.weight.mean, color=style["color"], linestyle=(0, (1, 2)), linewidth=1.0)
        tokens.plot(every[1:], part.tokens.mean, **style)
        vector.plot(every, part.vector.mean, label=part.name, **style)
    state.set(title="in the state (dots: its weight there)", ylabel="share of what was written", ylim=(-0.03, None))
    tokens.set(title="in the token states read then", ylabel="relative change", ylim=(0, None))
    vector.set(title="in the context vector, ending there", ylabel="relative change", ylim=(0, None))
    for axes in (state, tokens, vector):
        axes.set_xlabel("further segments")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(vector)
    return figure


def _facts(found: Probe) -> Figure:
    loss = found.facts
    figure, (axes,) = _figure(f"one fact of {len(loss.classes)} classes ({loss.documents} documents)", 1, 9.5)
    distances = [at.distance for at in loss.at]
    styles = _styled([*loss.at[0].parts, "read"])
    for name in loss.at[0].parts:
        label = "kept: all of the state" if name == "all" else f"kept: {name}"
        _band(axes, distances, [at.parts[name] for at in loss.at], label, styles[name])
    _band(axes, distances, [at.read for at in loss.at], f"read: {loss.reader}", styles["read"])
    axes.axhline(loss.findable.mean, color="0.6", linestyle="--", label="findable in the words themselves")
    axes.axhline(loss.chance, color="grey", linestyle=(0, (1, 3)), label="guessing")
    _doubling(axes, distances, "further segments (0: right after the write)")
    axes.set(ylabel="accuracy (± standard error)", ylim=(0, 1.05))
    _legend(axes)
    return figure


def _depth_map(found: Probe) -> Figure:
    depth_map = found.depth_map
    title = f"accuracy by depth and length: {depth_map.reader}"
    title += f"\n({depth_map.documents} documents a cell, guessing gives {depth_map.chance:.2f})"
    figure, (axes,) = _figure(title, 1, 3.4 + 1.1 * len(depth_map.lengths))
    image = axes.imshow([[score.mean for score in row] for row in depth_map.scores], vmin=0, vmax=1, cmap="cividis")
    for row, scores in enumerate(depth_map.scores):
        for column, score in enumerate(scores):
            text = f"{score.mean:.2f}\n±{score.error:.2f}"
            colour = "black" if score.mean > 0.55 else "white"
            axes.text(column, row, text, ha="center", va="center", fontsize="small", color=colour)
    axes.set_aspect("auto")
    axes.set_xticks(range(len(depth_map.lengths)), [str(length) for length in depth_map.lengths])
    axes.set_yticks(range(len(depth_map.depths)), [f"{depth:.0%}" for depth in depth_map.depths])
    axes.set(xlabel="segments of the document", ylabel="place of the fact (0%: first segment)")
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("accuracy (white line: guessing)")
    bar.ax.axhline(depth_map.chance, color="white", linewidth=2)
    return figure


def _capacity(found: Probe) -> Figure:
    many = found.capacity
    figure, (recall, held) = _figure(
        f"several facts at once, of one bit each, in {many.segments} segments ({many.documents} documents)", 2
    )
    styles = _styled(list(many.recall))
    for name, scores in many.recall.items():
        _band(recall, many.facts, scores, name, styles[name])
        held.plot(many.facts, many.held[name], label=name, **styles[name])
    recall.axhline(CHANCE, color="grey", linestyle=(0, (1, 3)))
    recall.text(many.facts[0], CHANCE, "guessing", color="grey", va="bottom", fontsize="small")
    held.plot(many.facts, many.facts, color="grey", linestyle=(0, (1, 3)), label="all told")
    recall.set(title="a linear probe finds", ylabel="accuracy (± standard error)", ylim=(0.3, 1.05))
    held.set(title="facts held", ylabel="facts x accuracy beyond guessing", ylim=(0, None))
    for axes in (recall, held):
        _doubling(axes, many.facts, "facts told")
    _legend(held)
    return figure


def _long_reading(found: Probe) -> Figure:
    long = found.long_reading
    figure, (norms, moved, distinct) = _figure(
        f"along {long.segments[-1]:,} segments ({long.documents} documents)", 3, 15.0
    )
    styles = _styled([*(part.name for part in long.parts), "vector"])
    for part in long.parts:
        norms.plot(long.segments, [norm / max(part.norms[0], 1e-300) for norm in part.norms], **styles[part.name])
        moved.plot(long.segments[1:], part.moved[1:], label=part.name, **styles[part.name])
        if part.distinct is not None:
            distinct.plot(long.segments, part.distinct, label=part.name, **styles[part.name])
    norms.plot(long.segments, [norm / max(long.vector[0], 1e-300) for norm in long.vector], **styles["vector"])
    moved.plot(long.segments[1:], long.vector_moved[1:], label="context vector", **styles["vector"])
    norms.set_yscale("log", base=2)
    low, high = norms.get_ylim()
    norms.set_ylim(min(low, 0.5), max(high, 2.0))
    norms.minorticks_off()
    norms.set(title="norm", ylabel="relative to that after one segment")
    moved.set(title="moved since the measurement before", ylabel="relative to its norm", ylim=(0, None))
    distinct.set(title="different entries", ylabel="effective number, of at most 128", ylim=(0, None))
    for axes in (norms, moved, distinct):
        _doubling(axes, long.segments, "segments read")
    if not distinct.lines:
        distinct.text(0.5, 0.5, "no entries to attend to", ha="center", va="center", transform=distinct.transAxes)
    _legend(distinct, moved)
    return figure


def _attribution(found: Probe) -> Figure:
    told = found.contributions
    figure, (axes,) = _figure(f"one document: what each segment contributes to the {told.measure}", 1, 10.0)
    count = len(told.knockout)
    axes.bar([x - 0.2 for x in range(count)], told.knockout, 0.38, color="#0072B2", label="knock-out")
    axes.bar([x + 0.2 for x in range(count)], told.gradient, 0.38, color="#E69F00", label="gradient x write")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="segment (from 0)", ylabel=f"fall without it (whole: {told.whole:.3g})")
    _legend(axes)
    return figure


def _endings(found: Probe) -> Figure:
    assert found.endings is not None
    figure, (axes,) = _figure(f"your {found.endings.documents} labelled documents", 1, 9.0)
    _band(axes, found.endings.segments, found.endings.scores, "accuracy", {"color": "#0072B2", "marker": "."})
    axes.axhline(found.endings.guessing, color="grey", linestyle=(0, (1, 3)), label="always the commonest label")
    _doubling(axes, found.endings.segments, "segments read, from the end")
    _legend(axes)
    axes.set(ylabel="accuracy (± standard error)", ylim=(0, 1.05))
    return figure
