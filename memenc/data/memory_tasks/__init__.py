"""Synthetic tasks that only a memory solves, as token ids, without any download. This table is the only list."""

from __future__ import annotations

from memenc.data.memory_tasks.associative import Remember, Rewrite
from memenc.data.memory_tasks.base import MemoryTask
from memenc.data.memory_tasks.facts import Detect, Memorize

MEMORY_TASKS: dict[str, type[MemoryTask]] = {
    "remember": Remember,
    "rewrite": Rewrite,
    "memorize": Memorize,
    "detect": Detect,
}

__all__ = ["MEMORY_TASKS", "Detect", "Memorize", "MemoryTask", "Remember", "Rewrite"]
