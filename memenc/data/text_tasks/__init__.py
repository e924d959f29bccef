"""Tasks as text, for pre-trained encoders and their tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from memenc.data.memory_tasks import MEMORY_TASKS
from memenc.data.text_tasks.babi_files import BabiFiles, read_babi
from memenc.data.text_tasks.base import TextTask
from memenc.data.text_tasks.generated import DecisiveSentence, InWords

# What needs no files; `BabiFiles` is made from paths.
TEXT_TASKS: dict[str, Callable[[], TextTask]] = {
    "decisive_sentence": partial(DecisiveSentence, "fixed"),
    "decisive_paraphrase": partial(DecisiveSentence, "paraphrase"),
    **{name: partial(InWords, kind) for name, kind in MEMORY_TASKS.items()},
}

__all__ = ["TEXT_TASKS", "BabiFiles", "DecisiveSentence", "InWords", "TextTask", "read_babi"]
