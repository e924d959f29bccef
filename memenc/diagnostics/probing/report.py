"""What a model forgets, as files: pictures, one page that needs no other file, numbers."""

from __future__ import annotations

import base64
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from memenc.diagnostics.probing.probe import Probe
from memenc.storage.files import write_whole
from memenc.storage.pictures import drawn
from memenc.storage.results import environment, plain, write_results

PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<style>body{font-family:sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;line-height:1.45}
img{max-width:100%}td{padding:.1rem .8rem .1rem 0;vertical-align:top}h2{margin-top:2.2rem}</style></head><body>
<h1>$title</h1>
<ul>
$sentences
</ul>
$pictures
<h2>Segments of the attributed document</h2>
<table>
$segments
</table>
<h2>How it was measured</h2>
<table>
$facts
</table>
</body></html>
""")

CAPTIONS = {
    "retention": "One segment is read as it is, and as that of another document; what differs later is what is left of "
    "it. Every part has the other content alone, 'all' has it everywhere. In the state: what is left of the difference "
    "right after the write (line), and what that weighs among all that the part then holds (dots).",
    "facts": "Documents tell one fact in their second segment. Kept: what a cross-validated linear probe finds in the "
    "state, a lower bound. Findable: what it finds in the words of that segment, with as many documents. Where it "
    "finds less right after the write, the fact was lost when written; where it finds less later, it was forgotten "
    "on the way; where it finds more than is read, it was kept and not read.",
    "depth_map": "A fact at a chosen place of documents of a chosen length. The white line in the bar is guessing.",
    "capacity": "Each document tells several facts; each is one of a pair of sentences, and a linear probe says which.",
    "long_reading": "Random segments, one after the other. A norm that grows without end, a state that no longer moves "
    "or entries that become all the same are what to look for.",
    "attribution": "Knock-out: the document is read as if the segment had never been written. Gradient x write is the "
    "same to first order.",
    "endings": "If the whole is read no better than the end, nothing earlier is used.",
}


def save_report(found: Probe, folder: str | Path, **facts: Any) -> None:
    """Write probe.json, probe.csv, probe.html and a PNG for each picture; each file appears whole.

    Args:
        found: what was measured.
        folder: where to; is made if it is missing.
        facts: what else belongs to the results, such as the model's folder.
    """
    # Matplotlib takes a while to import, and the measurements need none of it.
    from memenc.diagnostics.probing.plots import DPI, figures

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for name, figure in figures(found).items():
        pictures[name] = drawn(figure, DPI)
        write_whole(folder / f"{name}.png", pictures[name])
    write_whole(folder / "probe.html", page(found, pictures, facts))
    write_results(folder / "probe", list(found.rows()), **facts, probe=found.to_dict())


def page(found: Probe, pictures: dict[str, bytes], facts: dict[str, Any]) -> str:
    """One HTML page with everything inside."""
    facts = facts | asdict(found.settings) | environment()
    told = found.contributions
    segments = zip(told.texts, told.knockout, told.gradient, strict=False)
    shown = [(f"{index}", f"{a:+.3g}", f"{b:+.3g}", text) for index, (text, a, b) in enumerate(segments)]
    return PAGE.substitute(
        title=escape(f"What a model with {found.memory} memory forgets"),
        sentences="\n".join(f"<li>{escape(sentence)}</li>" for sentence in found.sentences()),
        pictures="\n".join(_picture(name, content) for name, content in pictures.items()),
        segments="\n".join(_row(*row) for row in [("segment", "knock-out", "gradient", "text"), *shown]),
        facts="\n".join(_row(name, str(plain(value))) for name, value in facts.items()),
    )


def _picture(name: str, content: bytes) -> str:
    data = base64.b64encode(content).decode()
    title, caption = escape(name.replace("_", " ")), escape(CAPTIONS[name])
    return f'<h2>{title}</h2><p>{caption}</p><img alt="{title}" src="data:image/png;base64,{data}">'


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
