"""Tasks as text, for pre-trained encoders and their tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from memenc.data.memory_tasks import MEMORY_TASKS, MemoryTask
from memenc.data.memory_tasks.needles import EMBEDDING_TASKS
from memenc.data.text_tasks.babi_files import BabiFiles, read_babi
from memenc.data.text_tasks.base import TextTask
from memenc.data.text_tasks.generated import DecisiveSentence, InWords
from memenc.data.text_tasks.in_segments import Decisive, StoriesFromFiles

# What needs no files; `BabiFiles` is made from paths.
TEXT_TASKS: dict[str, Callable[[], TextTask]] = {
    "decisive_sentence": partial(DecisiveSentence, "fixed"),
    "decisive_paraphrase": partial(DecisiveSentence, "paraphrase"),
    **{name: partial(InWords, kind) for name, kind in MEMORY_TASKS.items()},
}

# All tasks as ids in segments: what needs no files, and what does.
GENERATED_TASKS: dict[str, Callable[..., MemoryTask]] = {
    **MEMORY_TASKS,
    **EMBEDDING_TASKS,
    "decisive_sentence": Decisive,
    "decisive_paraphrase": partial(Decisive, variant="paraphrase"),
}
SEGMENT_TASKS: dict[str, Callable[..., MemoryTask]] = {**GENERATED_TASKS, "babi_files": StoriesFromFiles}

__all__ = [
    "GENERATED_TASKS",
    "SEGMENT_TASKS",
    "TEXT_TASKS",
    "BabiFiles",
    "DecisiveSentence",
    "InWords",
    "TextTask",
    "read_babi",
]
