"""What a comparison leaves behind: results.csv, results.json, report.md, report.html and plots."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from memenc.comparison.recommendation import RULES
from memenc.comparison.report import page
from memenc.comparison.report.markdown import markdown_statements, markdown_table
from memenc.comparison.report.plots import save_plots
from memenc.comparison.report.tables import tables_of
from memenc.storage.files import write_whole
from memenc.storage.results import environment, plain, write_results

if TYPE_CHECKING:
    from memenc.comparison.run import Comparison

TITLE = "Memory designs at equal state and equal training"
FROM_SCRATCH = "All contenders are small encoders from scratch with the same width and depth."
LOCAL = "The lower half of their layers sees {tokens} tokens round each, published packages all of a segment."
PRE_TRAINED = (
    "All contenders are {backbone}, pre-trained, with an embedding for every word of the task (the mean of those of "
    "its pieces); published packages have its width and depth and begin from scratch. Where names, terms and filler "
    "mean something, test documents have others than those of training."
)
NOTES = (
    "They are trained with documents from the same stream, for at most the same number of steps; how fast documents "
    "grow and when training ends follows from each one's own accuracy. Documents are segments of token ids, and the "
    "last one asks. Memories are read from the first token of the question, which sees earlier segments "
    "through the memory of the layers alone. Where a task asks for a document (..._embedding), the vector of each is "
    "computed without the question, and compared by its cosine with that of the question.",
    "TF-IDF counts ids and pairs of ids. Truncation reads the question and the first or last segments of the rest, "
    "as many as its window holds: without the question nobody could answer. Chunk-and-pool reads every segment "
    "alone and takes the mean, or learned attention that does not know the question, over all tokens. Full "
    "attention reads everything at once and ends at the longest length it was trained on, where its learned "
    "positions end.",
    "Published packages are decoders: their answer is read from the last token. Their state is what they hand on "
    "from segment to segment; some have one size, or a least size, whatever the budget.",
)


def write_report(folder: Path, comparison: Comparison) -> None:
    """Write all files; each appears whole."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = plain(asdict(comparison.settings))
    statements = [{"topic": each.topic, "text": str(each)} for each in comparison.statements]
    facts = {"settings": settings, "recommendation": statements, "rules": RULES}
    write_results(folder / "results", comparison.records, **facts, failed=comparison.failed)
    shown_before = plots_of(folder)
    plots = save_plots(comparison, folder / "plots")
    for path in shown_before - {*plots}:
        path.unlink(missing_ok=True)
    write_whole(folder / "report.md", markdown_report(comparison, plots))
    write_whole(folder / "report.html", html_report(comparison, plots))


def plots_of(folder: Path) -> set[Path]:
    """Plots that the report in a folder shows."""
    report = folder / "report.md"
    text = report.read_text(encoding="utf-8") if report.is_file() else ""
    return {folder / "plots" / name for name in re.findall(r"\]\(plots/([^/)]+\.png)\)", text)}


def markdown_report(comparison: Comparison, plots: list[Path]) -> str:
    """The report as Markdown, plots by their files."""
    parts = [f"# {TITLE}", *notes(comparison), *failures(comparison), "## Accuracy and cost"]
    parts += [markdown_table(table) for table in tables_of(comparison)]
    parts += ["## Plots", *(f"![{path.stem}](plots/{path.name})" for path in plots)]
    parts += ["## Recommendation", "Rules:", "\n".join(f"{n}. {rule}" for n, rule in enumerate(RULES, 1))]
    parts += [markdown_statements(comparison.statements), "## Settings", f"```json\n{settings_text(comparison)}\n```"]
    return "\n\n".join(parts) + "\n"


def html_report(comparison: Comparison, plots: list[Path]) -> str:
    """The report as a page of its own."""
    tables = tables_of(comparison)
    parts = [*map(page.paragraph, [*notes(comparison), *failures(comparison)]), page.heading("Accuracy and cost")]
    parts += [page.table_part(table) for table in tables]
    parts += [page.heading("Plots"), *map(page.image, plots), page.heading("Recommendation")]
    parts += [page.paragraph("Rules:"), page.items(RULES), page.statements_part(comparison.statements)]
    parts += [page.heading("Settings"), page.preformatted(settings_text(comparison))]
    return page.page(TITLE, parts)


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know of the contenders."""
    encoder = comparison.settings.encoder
    if encoder.backbone:
        return [PRE_TRAINED.format(backbone=encoder.backbone), *NOTES]
    local = [LOCAL.format(tokens=encoder.local_attention)] if encoder.local_attention else []
    return [" ".join([FROM_SCRATCH, *local]), *NOTES]


def failures(comparison: Comparison) -> list[str]:
    """What went wrong, in words."""
    return [f"Failed: {title}: {error}" for title, error in comparison.failed]


def settings_text(comparison: Comparison) -> str:
    """What was compared, and what it was put together with."""
    return json.dumps({"settings": plain(asdict(comparison.settings)), "environment": environment()}, indent=2)
