"""What a memory does, as four pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memenc.storage.pictures import write_picture

if TYPE_CHECKING:
    from memenc.diagnostics.liveness import Liveness

# Where a logarithmic axis begins; what is smaller is nothing.
LEAST = 1e-8


def save_plot(found: Liveness, path: Path) -> None:
    """Write knock-out effects, gradient reach, norms and entries of a memory as PNG."""
    # A Figure of its own, without pyplot: no display is needed and no global state is left.
    figure = Figure(figsize=(12, 4.2 + 0.3 * max(4, len(found.places))), layout="constrained")
    count = f"{found.documents} documents of {found.segments} segments"
    problems = len(found.problems())
    verdict = f"{problems} problems" if problems else "alive" if found.places else "no memory"
    figure.suptitle(f"memory {found.memory}, {count}: {verdict}")
    panels: list[Callable[[Axes, Liveness], None]] = [_effects, _reach, _norms, _entries]
    for axes, panel in zip(figure.subplots(2, 2).flat, panels, strict=True):
        panel(axes, found)
    write_picture(path, figure, dots=120)


def _effects(axes: Axes, found: Liveness) -> None:
    effects = [(place.name, place.effect) for place in found.places]
    effects += [] if found.effect is None else [("all", found.effect)]
    _bars(axes, [name for name, _ in effects], "token states", [effect.tokens for _, effect in effects], -0.2)
    _bars(axes, [name for name, _ in effects], "context vector", [effect.vector for _, effect in effects], 0.2)
    axes.set_xscale("log")
    axes.set_xlim(LEAST, 10)
    axes.set(title="knock-out: what an emptied memory changes", xlabel="relative change")
    _legend(axes)


def _reach(axes: Axes, found: Liveness) -> None:
    axes.plot(range(1, len(found.reach) + 1), [max(LEAST, norm) for norm in found.reach], marker="o")
    axes.set_yscale("log")
    axes.set_ylim(LEAST, 10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="gradient reach", xlabel="segments back", ylabel="relative to own segment")


def _norms(axes: Axes, found: Liveness) -> None:
    colours = colormaps["viridis"].resampled(max(2, len(found.places)))
    for index, place in enumerate(found.places):
        if place.norms:
            together = [sum(norm**2 for norm in norms) ** 0.5 for norms in zip(*place.norms.values(), strict=True)]
            relative = [norm / max(together[0], 1e-300) for norm in together]
            axes.plot(found.long_reading, relative, marker=".", color=colours(index), label=place.name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    ticks = found.long_reading[::-2][::-1]
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set(title="norm of the state along a long document", xlabel="segments read", ylabel="relative to the first")
    _legend(axes)


def _entries(axes: Axes, found: Liveness) -> None:
    used = [(place.name, place.usage, place.later_usage) for place in found.places]
    rows = [(name, soon, later) for name, soon, later in used if soon is not None and later is not None]
    if not rows:
        axes.text(0.5, 0.5, "no entries to attend to", ha="center", va="center")
        axes.set_axis_off()
        return
    names = [name for name, _, _ in rows]
    _bars(axes, names, f"after {found.long_reading[0]} segments", [soon.distinct for _, soon, _ in rows], -0.2)
    _bars(axes, names, f"after {found.long_reading[-1]} segments", [later.distinct for _, _, later in rows], 0.2)
    axes.axvline(1.0, color="grey", linestyle=":", label="all the same")
    axes.set(title="effective number of different entries", xlabel="entries, of at most 128")
    _legend(axes)


def _bars(axes: Axes, names: list[str], label: str, widths: list[float], offset: float) -> None:
    axes.barh([row + offset for row in range(len(names))], widths, height=0.38, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
