"""What a memory does, as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from memenc.diagnostics.liveness import Liveness, PlaceLiveness

COLUMNS = ("attention", "states", "vector", "gradient", "kept", "entries", "distinct", "growth")
LEGEND = (
    "attention: share of the last segment's attention that goes to memory; a layer's designs together have one share\n"
    "states, vector: change of the last segment's token states and of the context vector when the memory is emptied\n"
    "gradient: received from them; kept: share of the state that came through the state before\n"
    "entries, distinct: entries that hold something, and how many of them (at most 128) count as different\n"
    "growth: exponent of the state's norm along a long document, 1 for a sum, 0 for what settles"
)


def table_of(found: Liveness) -> Table:
    """One row per memory, and one for all of them together."""
    title = f"memory {found.memory}: {found.documents} documents of {found.segments} segments"
    table = Table(title=title, title_justify="left", caption=_caption(found), caption_justify="left", box=SIMPLE_HEAD)
    table.add_column("memory", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for place in found.places:
        table.add_row(place.name, *_cells(place))
    if found.effect is not None:
        table.add_section()
        table.add_row("all", "", percent(found.effect.tokens), percent(found.effect.vector))
    return table


def _caption(found: Liveness) -> str:
    if not found.places:
        return "no memory: every segment is read alone; choose another design to have one"
    if not found.asleep:
        return LEGEND
    named = [name for name in found.asleep if not name.startswith("parameter ")]
    parameters = len(found.asleep) - len(named)
    asleep = ", ".join([*named, *([f"{parameters} parameters"] if parameters else [])])
    return f"{LEGEND}\nnot trained yet: {asleep} wait for what is still zero ({', '.join(found.zeros)})"


def _cells(place: PlaceLiveness) -> list[str]:
    usage = place.usage
    return [
        percent(place.attention),
        percent(place.effect.tokens),
        percent(place.effect.vector),
        f"{place.gradient:.1e}" if place.heard else "not read",
        percent(place.carried),
        "-" if usage is None else f"{usage.valid * usage.entries:.0f}/{usage.entries}",
        "-" if usage is None else f"{usage.distinct:.1f}",
        f"{place.growth:+.2f}",
    ]


def percent(share: float | None) -> str:
    """A share with two digits or so, also a tiny one."""
    if share is None or math.isnan(share):
        return "-" if share is None else "nan"
    return f"{share:.2%}" if share >= 1e-4 or share == 0 else f"{100 * share:.0e}%"
