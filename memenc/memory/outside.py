"""Designs from outside of memenc: what may be registered, which code they are, and which packages bring some."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from memenc.memory.base import LayerMemory
from memenc.memory.parts.row_tokens import RowTokens

# Of installed packages: the name of a design -> the module that registers it.
GROUP = "memenc.memories"


def check_name(name: object) -> None:
    """Refuse what cannot be the name of a design: several are joined by +, and / marks a variant of a comparison.

    Raises:
        ValueError: it cannot be one.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name):
        raise ValueError(f"memory name {name!r}: give letters, digits, _ and - alone, such as 'decayed_mean'")


def check_part(name: str, field: str, part: object, kind: type[LayerMemory] | type[RowTokens]) -> None:
    """Refuse what no model could make a memory of.

    Raises:
        ValueError: no class of this kind, one with methods missing, or one that is not made from sizes.
    """
    if not (isinstance(part, type) and issubclass(part, kind)):
        raise ValueError(f"memory {name!r}: {field}={part!r} is no class derived from memenc.memory.{kind.__name__}")
    missing = sorted(getattr(part, "__abstractmethods__", ()))
    if missing:
        raise ValueError(f"memory {name!r}: {part.__name__} lacks {', '.join(missing)}; see memenc.memory.LayerMemory")
    if next(iter(inspect.signature(part).parameters), None) != "sizes":
        raise ValueError(f"memory {name!r}: the first argument of {part.__name__}.__init__ must be `sizes`")


def source_of(parts: Iterable[type]) -> str | None:
    """Hash of the modules in which these classes, and those they derive from, are written; "" if all are memenc's.

    None if one is in no module that could be read or imported again, as a class from a notebook or inside a function.
    """
    kinds = [kind for part in parts for kind in part.__mro__ if issubclass(kind, LayerMemory | RowTokens)]
    kinds = [kind for kind in kinds if kind.__module__.partition(".")[0] != "memenc"]
    modules = {kind.__module__ for kind in kinds}
    if any("<locals>" in kind.__qualname__ for kind in kinds):
        return None
    try:
        sources = sorted(inspect.getsource(sys.modules[module]) for module in modules)
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256("\0".join(sources).encode()).hexdigest() if sources else ""


def installed_designs() -> dict[str, EntryPoint]:
    """Designs that installed packages bring, by name; nothing of theirs is imported."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def import_installed(entry: EntryPoint) -> None:
    """Import the module of an installed package that registers a design.

    Raises:
        ValueError: it cannot be imported.
    """
    try:
        entry.load()
    except (ImportError, AttributeError) as error:
        package = entry.dist.name if entry.dist else "?"
        raise ValueError(f"memory {entry.name!r} of the package {package} cannot be imported: {error}") from error


def import_modules(names: Iterable[str]) -> None:
    """Import modules that register designs; those that lie in the working directory are found, too.

    Raises:
        ValueError: there is no such module.
    """
    for name in names:
        here = str(Path.cwd())
        if here not in sys.path:
            # Behind all others, so that a file here takes no other module's place.
            sys.path.append(here)
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            # What the module itself lacks is its own affair.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ValueError(
                f"there is no module {name!r} to import, neither installed nor in {here}; give its name without .py"
            ) from error
