"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from memenc.comparison.recommendation import Statement
from memenc.comparison.report.tables import Table


def markdown_table(table: Table) -> str:
    """A table with its title and note."""
    lines = [" | ".join(["", *(_escaped(cell) for cell in row), ""]).strip() for row in [table.columns, *table.rows]]
    ruler = "|---" + ("|---:" if table.numbers else "|---") * (len(table.columns) - 1) + "|"
    return "\n".join([f"### {table.title}", "", *([table.note, ""] if table.note else []), lines[0], ruler, *lines[1:]])


def markdown_statements(statements: Sequence[Statement]) -> str:
    """The recommendation, by topic."""
    lines, topic = [], ""
    for statement in statements:
        if statement.topic != topic:
            topic = statement.topic
            lines += ["", f"**{topic}**", ""]
        lines.append(f"- {statement}")
    return "\n".join(lines).strip()


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
