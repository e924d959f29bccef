"""Synthetic tasks that only a memory solves, as token ids, without any download. This table is the only list."""

from __future__ import annotations

from memenc.data.memory_tasks.associative import Remember, Rewrite
from memenc.data.memory_tasks.babi import OneFact, ThreeArgumentRelations, ThreeFacts, TwoFacts
from memenc.data.memory_tasks.base import MemoryTask
from memenc.data.memory_tasks.facts import Detect, Memorize
from memenc.data.memory_tasks.joint import JointStories
from memenc.data.memory_tasks.needles import MultiKey, PassKey
from memenc.data.memory_tasks.relations import Reasoning, TwoArgumentRelations
from memenc.data.memory_tasks.scenarios import (
    Count,
    DefinitionLink,
    EarlyConstraint,
    EarlyExact,
    EarlyGist,
    RecentExact,
    Update,
)

MEMORY_TASKS: dict[str, type[MemoryTask]] = {
    "remember": Remember,
    "rewrite": Rewrite,
    "memorize": Memorize,
    "detect": Detect,
    "reasoning": Reasoning,
    "babi1": OneFact,
    "babi2": TwoFacts,
    "babi3": ThreeFacts,
    "babi4": TwoArgumentRelations,
    "babi5": ThreeArgumentRelations,
    "babi": JointStories,
    "passkey": PassKey,
    "multikey": MultiKey,
    "recent_exact": RecentExact,
    "early_exact": EarlyExact,
    "early_gist": EarlyGist,
    "early_constraint": EarlyConstraint,
    "definition_link": DefinitionLink,
    "update": Update,
    "count": Count,
}

__all__ = [
    "MEMORY_TASKS",
    "Count",
    "DefinitionLink",
    "Detect",
    "EarlyConstraint",
    "EarlyExact",
    "EarlyGist",
    "JointStories",
    "Memorize",
    "MemoryTask",
    "MultiKey",
    "OneFact",
    "PassKey",
    "Reasoning",
    "RecentExact",
    "Remember",
    "Rewrite",
    "ThreeArgumentRelations",
    "ThreeFacts",
    "TwoArgumentRelations",
    "TwoFacts",
    "Update",
]
