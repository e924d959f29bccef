"""A report as one HTML file that needs nothing else: style and plots are inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from memenc.comparison.recommendation import Statement
from memenc.comparison.report.tables import Table

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child, table.words td, table.words th { text-align: left; }
tr:nth-child(even) td { background: var(--soft); }
.scroll { overflow-x: auto; } .missing, .evidence, .note { opacity: .65; } .evidence { font-size: .85rem; }
img { max-width: 100%; height: auto; background: white; margin: .5rem 0; }
pre { white-space: pre-wrap; font-size: .8rem; background: var(--soft); padding: .8rem; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def page(title: str, parts: Sequence[str]) -> str:
    """The whole page."""
    return PAGE.substitute(title=escape(title), body="\n".join(parts))


def heading(text: str) -> str:
    """Of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def items(texts: Sequence[str]) -> str:
    """A list."""
    return "<ol>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ol>"


def preformatted(text: str) -> str:
    """Text as it is."""
    return f"<pre>{escape(text)}</pre>"


def table_part(table: Table) -> str:
    """A table with its title and note."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    kind = "" if table.numbers else ' class="words"'
    body = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h3>{escape(table.title)}</h3>{note}<div class="scroll">{body}</div>'


def statements_part(statements: Sequence[Statement]) -> str:
    """The recommendation, by topic, every sentence with its rows."""
    parts, topic = ["<ul>"], ""
    for statement in statements:
        if statement.topic != topic:
            topic = statement.topic
            parts.append(f"</ul><h3>{escape(topic)}</h3><ul>")
        rows = "; ".join(row.named for row in statement.rows)
        evidence = f' <span class="evidence">[{escape(rows)}]</span>' if rows else ""
        parts.append(f"<li>{escape(statement.text)}{evidence}</li>")
    return "".join([*parts, "</ul>"])


def image(path: Path) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(path.stem)}" src="data:image/png;base64,{data}">'


def _cell(text: str) -> str:
    missing = ' class="missing"' if text in ("not run", "not counted", "never") else ""
    return f"<td{missing}>{escape(text)}</td>"
