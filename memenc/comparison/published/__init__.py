"""Published designs as other packages implement them, beside ours: same width, depth and budget, last token's answer.

They are decoders: a token sees only what stands before it, and the answer is read from the last token, the first one
that has seen the whole question. Their vocabulary logits of the first ids stand for the labels. One module each, which
imports its package only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from memenc.comparison.contenders import PUBLISHED
from memenc.comparison.published.base import Shape
from memenc.comparison.readers.network import Network, NotRun
from memenc.comparison.settings import EncoderSizes, Testing
from memenc.data.memory_tasks import MemoryTask


def published_network(
    name: str, task: MemoryTask, sizes: EncoderSizes, budget: int | None, testing: Testing
) -> Network:
    """The model of a package, with fresh weights.

    Raises:
        NotRun: the package, or something that it needs, is not installed.
    """
    try:
        importlib.import_module(name.replace("-", "_"))
    except ImportError as error:
        # Some packages do not ask for all that they import.
        missing = (error.name or name).partition(".")[0].replace("_", "-")
        raise NotRun(f"not installed: pip install {missing} ({error})") from error
    build: Callable[[Shape], Network] = importlib.import_module(f"{__name__}.{PUBLISHED[name]}").build
    return build(Shape.of(task, sizes, budget, testing))
