"""What people who must choose a memory ask of it, one class a scenario."""

from memenc.data.memory_tasks.scenarios.changing import Count, Update
from memenc.data.memory_tasks.scenarios.gist import EarlyGist
from memenc.data.memory_tasks.scenarios.links import DefinitionLink, EarlyConstraint
from memenc.data.memory_tasks.scenarios.wording import EarlyExact, RecentExact

__all__ = ["Count", "DefinitionLink", "EarlyConstraint", "EarlyExact", "EarlyGist", "RecentExact", "Update"]
