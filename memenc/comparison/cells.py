"""Cells of a comparison: one model each, with an identity made of everything that determines its numbers."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memenc.comparison.contenders import Contender
from memenc.comparison.recipe import Recipe
from memenc.comparison.settings import ComparisonSettings, EncoderSizes, TaskSettings, Testing
from memenc.data.memory_tasks import MemoryTask
from memenc.data.text_tasks import SEGMENT_TASKS
from memenc.memory import design_named
from memenc.storage.results import memenc_version, plain, version_of

# Counts up when cells of before are no longer comparable, as with another way of training.
FORMAT = 2
# Settings that came later, with what held for the cells from before.
LATER = {
    ("testing", "fewest_documents"): 64,
    ("encoder", "backbone"): "",
    ("encoder", "local_attention"): 0,
    ("training", "backbone_learning_rate"): None,
    ("training", "first_segments"): 3,
    ("training", "matrix_learning_rate"): None,
    ("training", "perfect_checks"): 1,
    ("training", "validation_segments"): None,
    ("training", "weight_average"): None,
}
# Designs of which a budget makes more than it did in cells from before, as do compositions.
FINER = ("compressive", "pyramid", "global")


@dataclass(frozen=True)
class Cell:
    """One model to be trained and tested.

    Args:
        task: what is to be remembered.
        contender: who shall remember it.
        budget: bytes of state, None for those without a bound.
        seed: of the repetition.
        lengths: segments of the test documents.
        encoder: sizes.
        training: budget and recipe.
        testing: documents and limits.
    """

    task: TaskSettings
    contender: Contender
    budget: int | None
    seed: int
    lengths: tuple[int, ...]
    encoder: EncoderSizes
    training: Recipe
    testing: Testing

    @property
    def title(self) -> str:
        """For people."""
        budget = "" if self.budget is None else f", {self.budget:,} bytes"
        return f"{self.contender.name} on {self.task.name}{budget}, seed {self.seed}"

    @property
    def identity(self) -> str:
        """Hash of everything that determines the numbers."""
        return identity_of(self._facts())

    @property
    def training_identity(self) -> str:
        """Hash of everything that determines the weights: not of what they are tested on."""
        facts = self._facts()
        del facts["lengths"], facts["task"]["lengths"]
        facts.pop("test_words", None)
        for name in ("documents", "tokens", "fewest_documents"):
            facts["testing"].pop(name, None)
        return identity_of(facts)

    def _facts(self) -> dict[str, Any]:
        facts = asdict(self)
        # It is applied to finished numbers.
        del facts["testing"]["threshold"]
        for name in self._untouched_by():
            facts["testing"][name] = getattr(Testing, name)
        for (part, name), before in LATER.items():
            if facts[part][name] == before:
                del facts[part][name]
        return plain(facts | self._made_of() | {"format": FORMAT, "memenc": memenc_version()})

    def _untouched_by(self) -> tuple[str, ...]:
        """Limits of testing that hold for others only."""
        if self.contender.kind != "memory":
            return ()
        limits = ("truncated_segments", "full_attention_tokens")
        return (*limits, "growing_segments") if self.contender.bounded else limits

    def _made_of(self) -> dict[str, Any]:
        """What the numbers depend on that lies elsewhere: weights in a folder, other packages."""
        found: dict[str, Any] = {}
        folder = Path(self.encoder.backbone)
        if self.encoder.backbone and folder.is_dir():
            found["backbone"] = digest_of_folder(folder)
        if self.task.kind.startswith("decisive"):
            found["prose"] = [version_of(name) for name in ("scipy", "scikit-learn")]
        memory = self.contender.memory
        if sources := sources_of(memory):
            found["memory_source"] = sources
        if self.contender.bounded and self.budget is not None and (memory in FINER or "+" in memory):
            found["sizing"] = 2
        if self._has_unseen_words():
            found["test_words"] = "unseen"
        if self.contender.kind == "published" and version_of(self.contender.name) is not None:
            found["package"] = version_of(self.contender.name)
        return found

    @property
    def key(self) -> dict[str, Any]:
        """The columns that name it."""
        return {
            "task": self.task.name,
            "contender": self.contender.name,
            "kind": self.contender.kind,
            "budget": self.budget,
            "seed": self.seed,
        }

    def new_task(self) -> MemoryTask:
        """The task, made of its options."""
        return self._task()

    def test_task(self) -> MemoryTask:
        """The task to test on, of the same ids: a pre-trained encoder meets names and filler it was not trained on."""
        return self._task(split="test") if self._has_unseen_words() else self._task().for_testing()

    def _task(self, **options: Any) -> MemoryTask:
        return SEGMENT_TASKS[self.task.kind](**dict(self.task.options), **options)

    def _has_unseen_words(self) -> bool:
        given = bool(self.encoder.backbone) and "split" not in dict(self.task.options)
        return given and "test" in self._task().splits

    def seed_of(self, purpose: str, *, shared: bool = True) -> int:
        """Seed for one purpose; shared among all contenders, or this one's own."""
        named = [purpose, self.task.name, self.seed, *([] if shared else [self.contender.name, self.budget])]
        return int(hashed(named)[:8], 16)


def cells_of(settings: ComparisonSettings) -> list[Cell]:
    """All cells, repetition by repetition, so that an unfinished comparison has whole tables of few seeds."""
    return [
        Cell(
            task,
            contender,
            budget,
            seed,
            task.lengths or settings.lengths,
            settings.encoder,
            settings.training,
            settings.testing,
        )
        for seed in settings.seeds
        for task in settings.tasks
        for contender in settings.contenders
        for budget in (settings.budgets if contender.has_budget else (None,))
    ]


def sources_of(memory: str) -> dict[str, str]:
    """Hash of the code of each design in a name that is not memenc's own.

    Raises:
        ValueError: the code of one cannot be read.
    """
    found = {part: design_named(part).source for part in memory.split("+")}
    unread = [part for part, source in found.items() if source is None]
    if unread:
        raise ValueError(
            f"the code of memory {', '.join(unread)} cannot be read, so finished cells could not be told from those of "
            "changed code; move its class to a file (module) and import it"
        )
    return {part: source for part, source in found.items() if source}


def identity_of(facts: Mapping[str, Any]) -> str:
    """Short name of plain facts."""
    return hashed(facts)[:16]


def digest_of_folder(folder: Path) -> str:
    """Hash of configuration, tokenizer and weights of a model; of files that were not touched it is known."""
    kinds = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")
    files = sorted(file for kind in kinds for file in folder.glob(kind))
    return _digest_of(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@functools.cache
def _digest_of(files: tuple[tuple[str, int, int], ...]) -> str:
    found = hashlib.sha256()
    for name, _, _ in files:
        found.update(Path(name).name.encode())
        with Path(name).open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def hashed(value: Mapping[str, Any] | list[Any]) -> str:
    """Hexadecimal hash of plain values, the same in every process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
