"""R8 and R9: damaged checkpoints, states and models are noticed, whatever the damage."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.mutations import ANY_FILE, SAFETENSORS
from memenc.storage.files import OF_OTHERS
from memenc.training.checkpoints import newest_whole


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def files_of(folder: Path) -> list[Path]:
    """All files below a folder but those that memenc never reads."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in OF_OTHERS]


def damage_file(file: Path) -> str:
    """Drop, truncate or change a file; what was done."""
    kind = random.choice((None, *ANY_FILE))
    if kind is None or not file.stat().st_size:
        file.unlink()
        return f"drop {file.name}"
    content = file.read_bytes()
    changed = kind(content)
    # Random bytes may be those that were there, and white space round a list of checksums is no damage.
    file.write_bytes(changed if changed.strip() != content.strip() else content[:-2])
    return f"{kind.__name__} {file.name}"


def passed_over_aloud(checkpoints: Path) -> bool:
    """Whether the last checkpoint is refused with a warning that names it, and the one before is taken."""
    *_, before, last = checkpoints_in(checkpoints)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = newest_whole(checkpoints)
    return found == before and any(f"{last} is not whole" in str(warning.message) for warning in said)


def outcomes_of_mutations(
    folder: Path, tries: int, load: Callable[[], Any], same: Callable[[Any], bool]
) -> Counter[str]:
    """Damage a random file below a folder, load, put it back: how often it was refused, harmless, silent or a crash.

    Args:
        folder: whose files are damaged one at a time.
        tries: how many times.
        load: reads the folder; a ValueError is a refusal.
        same: whether what was loaded is what was saved.
    """
    outcomes: Counter[str] = Counter()
    whole = {file: file.read_bytes() for file in files_of(folder)}
    for _ in range(tries):
        file = random.choice(list(whole))
        safetensors = file.suffix == ".safetensors"
        kind = random.choice(SAFETENSORS if safetensors else ANY_FILE)
        file.write_bytes(kind(whole[file]))
        outcomes[outcome(load, same)] += 1
        file.write_bytes(whole[file])
    return outcomes


def outcome(load: Callable[[], Any], same: Callable[[Any], bool]) -> str:
    """What came of loading something that may be damaged."""
    try:
        loaded = load()
    except ValueError:
        return "refused"
    except Exception as error:
        return f"crash: {type(error).__name__}"
    return "harmless" if same(loaded) else "silent"
