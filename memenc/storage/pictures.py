"""Figures as PNG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from memenc.storage.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(figure: Figure, dots: int) -> bytes:
    """A figure as PNG with so many dots per inch."""
    content = io.BytesIO()
    figure.savefig(content, dpi=dots, format="png")
    return content.getvalue()


def write_picture(path: Path, figure: Figure, dots: int) -> None:
    """Write a figure as PNG that is there whole or not at all."""
    write_whole(path, drawn(figure, dots))
