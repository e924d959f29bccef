"""What is compared with what, and under which conditions: plain values, as a YAML file says them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from transformers import AutoConfig

from memenc.comparison.contenders import BASELINES, PUBLISHED, VARIANTS, Contender, baseline, design, published
from memenc.comparison.recipe import Recipe
from memenc.data.text_tasks import GENERATED_TASKS, SEGMENT_TASKS
from memenc.memory import MEMORIES
from memenc.memory.outside import import_modules
from memenc.saved import require_folder_or_name
from memenc.typed import in_range, typed

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class EncoderSizes:
    """The encoder that all contenders share: a small one from scratch, or one that is pre-trained.

    Args:
        layers: of attention.
        hidden: numbers per token state.
        heads: of attention.
        memory_layers: which layers have a memory, see `MemencConfig`: "all", "upper_half" or a list of numbers.
        backbone: name or folder of a pre-trained encoder, whose sizes are then taken; "" for one from scratch.
        local_attention: tokens round each that the lower half of the layers sees, half of them to either side; 0 for
            all of the segment. Where a segment says several things, small encoders learn to tell them apart with it.
    """

    layers: int = 4
    hidden: int = 64
    heads: int = 4
    memory_layers: str | tuple[int, ...] = "upper_half"
    backbone: str = ""
    local_attention: int = 0

    def __post_init__(self) -> None:
        in_range("encoder", {name: getattr(self, name) for name in ("layers", "hidden", "heads")}, 1)
        if self.hidden % self.heads:
            raise ValueError(f"encoder: hidden={self.hidden} is no multiple of heads={self.heads}")
        if self.local_attention and self.backbone:
            raise ValueError("encoder: local_attention beside a backbone, which has its own; leave it out")
        if self.local_attention < 0 or self.local_attention % 2:
            raise ValueError(f"encoder: local_attention={self.local_attention}; give an even number of tokens, or 0")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Sizes as given, or those of the backbone that is named.

        Raises:
            ValueError: sizes beside a backbone, which has its own.
        """
        if not values.get("backbone"):
            return cls(**values)
        if both := sorted({"layers", "hidden", "heads"} & set(values)):
            raise ValueError(f"encoder: {', '.join(both)} beside a backbone, which has its own; leave them out")
        require_folder_or_name(values["backbone"])
        config = AutoConfig.from_pretrained(values["backbone"], trust_remote_code=False)
        sizes = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
        return cls(*sizes, **values)


@dataclass(frozen=True)
class Testing:
    """How models are tested.

    Args:
        documents: at every length, fewer where they are long.
        tokens: of all documents of one length together; beyond, fewer documents are read.
        fewest_documents: but at least so many.
        threshold: accuracy that counts as solved: the effective length is the longest one at or above it.
        truncated_segments: what a truncating baseline reads: the question and so many other segments, less one.
        full_attention_tokens: longest document that full attention reads.
        growing_segments: longest document that memories without a bound read.
    """

    documents: int = 512
    tokens: int = 262_144
    fewest_documents: int = 64
    threshold: float = 0.85
    truncated_segments: int = 4
    full_attention_tokens: int = 4_096
    growing_segments: int = 256

    def __post_init__(self) -> None:
        numbers = ("documents", "tokens", "fewest_documents", "full_attention_tokens", "growing_segments")
        in_range("testing", {name: getattr(self, name) for name in numbers}, 1)
        in_range("testing", {"truncated_segments": self.truncated_segments}, 2)
        if not 0 < self.threshold <= 1:
            raise ValueError(f"testing: threshold={self.threshold}; give an accuracy above 0, at most 1")


@dataclass(frozen=True)
class TaskSettings:
    """A task of `SEGMENT_TASKS` with its options, and lengths of its own if it wants some.

    Args:
        name: of the task in tables; the task's own name if `task` is not given.
        task: in `SEGMENT_TASKS`.
        options: keyword arguments of the task.
        lengths: segments of the test documents; None takes those of the comparison.
    """

    name: str
    task: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    lengths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in SEGMENT_TASKS:
            raise ValueError(f"unknown task {self.kind!r}; available: {', '.join(SEGMENT_TASKS)}")
        try:
            SEGMENT_TASKS[self.kind](**dict(self.options))
        except TypeError as error:
            raise ValueError(f"task {self.name}: {error}") from error

    @property
    def kind(self) -> str:
        """Name in `SEGMENT_TASKS`."""
        return self.task or self.name


@dataclass(frozen=True)
class ComparisonSettings:
    """A comparison: every contender on every task with every seed, memories under every budget.

    Args:
        tasks: what is to be remembered; "all" in a list stands for all there are, here and in the next three.
        designs: memories, by name or as {name, memory, options, readout, bounded}.
        baselines: what stands beside them.
        published: models of other packages, if those are installed.
        budgets: bytes of one document's memory state, float32; every bounded design gets each.
        seeds: one model per contender, task and seed.
        lengths: segments of the test documents, the question among them.
        encoder: that all share.
        training: that all share.
        testing: that all share.
        imports: modules that register memories of your own, imported before the rest is read.
    """

    tasks: tuple[TaskSettings, ...]
    designs: tuple[Contender, ...]
    baselines: tuple[Contender, ...] = ()
    published: tuple[Contender, ...] = ()
    budgets: tuple[int, ...] = (25_000,)
    seeds: tuple[int, ...] = (0, 1, 2)
    lengths: tuple[int, ...] = (2, 17, 64, 256)
    encoder: EncoderSizes = field(default_factory=EncoderSizes)
    training: Recipe = field(default_factory=Recipe)
    testing: Testing = field(default_factory=Testing)
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("tasks", "budgets", "seeds", "lengths"):
            if not getattr(self, name):
                raise ValueError(f"comparison: {name} is empty; give at least one")
        names = [contender.name for contender in self.contenders]
        for kind, given in (("task", [task.name for task in self.tasks]), ("contender", names)):
            twice = sorted({name for name in given if given.count(name) > 1})
            if twice:
                raise ValueError(f"comparison: {kind} {', '.join(twice)} stands there twice; give each its own name")
        if not names:
            raise ValueError("comparison: there is nobody to compare; give designs, baselines or published")
        for name in ("budgets", "seeds", "lengths"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"comparison: {name}={list(given)}; give each once")
        in_range("comparison", {"budgets": min(self.budgets)}, 1)
        lengths = [self.lengths, *(task.lengths for task in self.tasks if task.lengths is not None)]
        wrong = sorted({length for each in lengths for length in each if length < 2})
        if wrong:
            raise ValueError(f"comparison: lengths {wrong}; a document has at least 2 segments, the last one asks")

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """All of them, memories first."""
        return (*self.designs, *self.baselines, *self.published)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values.

        Raises:
            ValueError: a key that is not known, or a name that does not exist.
        """
        given = typed(cls, values, "comparison")
        import_modules(_names("imports", given.get("imports", ())))
        for name, (make, all_names) in _entries().items():
            given[name] = _made(name, given.get(name, ()), make, all_names)
        for name in ("budgets", "seeds", "lengths"):
            if name in given:
                given[name] = _whole_numbers(name, given[name])
        makers = (("encoder", EncoderSizes, EncoderSizes.of), ("training", Recipe, None), ("testing", Testing, None))
        for name, kind, make in makers:
            if name in given:
                values_of = typed(kind, given[name], name)
                given[name] = make(values_of) if make else kind(**values_of)
        return cls(**given)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Settings of a preset by name, or from a YAML file.

        Raises:
            ValueError: no such preset or file, or not a comparison.
        """
        path = Path(name_or_path)
        preset = PRESETS / f"{name_or_path}.yaml"
        if not path.is_file() and not preset.is_file():
            raise ValueError(f"no comparison {str(name_or_path)!r}: give a YAML file, or one of {', '.join(presets())}")
        text = (path if path.is_file() else preset).read_text(encoding="utf-8")
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{name_or_path} is no YAML: {error}") from error
        if not isinstance(values, Mapping):
            raise ValueError(f"{name_or_path} must hold a mapping of settings, such as `tasks: [...]`; see the presets")
        return cls.of(values)


def presets() -> list[str]:
    """Names of the comparisons that come with the library."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def _task(entry: Any) -> TaskSettings:
    if isinstance(entry, str):
        return TaskSettings(entry)
    options = entry.get("options", {}) if isinstance(entry, Mapping) else {}
    if not isinstance(options, Mapping):
        raise ValueError(f"task: options={options!r}; give a mapping, such as {{segment_length: 9}}")
    given = typed(TaskSettings, {**entry, "options": ()} if isinstance(entry, Mapping) else entry, "task")
    del given["options"]
    if given.get("lengths") is not None:
        given["lengths"] = _whole_numbers("lengths", given["lengths"])
    return TaskSettings(**given, options=tuple(sorted(options.items())))


def _entries() -> dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]]:
    """What makes one of each list, and all names that there are now."""
    return {
        "tasks": (_task, tuple(GENERATED_TASKS)),
        "designs": (design, (*MEMORIES, *VARIANTS)),
        "baselines": (baseline, BASELINES),
        "published": (published, tuple(PUBLISHED)),
    }


def _made(name: str, entries: Any, make: Callable[[Any], Any], all_names: tuple[str, ...]) -> tuple[Any, ...]:
    """One object per entry, for "all" one per name that does not stand there by itself."""
    if not isinstance(entries, list | tuple):
        raise ValueError(f"comparison: {name}={entries!r}; give a list, such as [{all_names[0]}], or [all]")
    made = [make(entry) for entry in entries if entry != "all"]
    own = {each.name for each in made}
    rest = [make(each) for each in all_names if each not in own] if "all" in entries else []
    return (*rest, *made)


def _names(name: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or any(not isinstance(each, str) for each in given):
        raise ValueError(f"comparison: {name}={given!r}; give a list of names, such as [my_module]")
    return tuple(given)


def _whole_numbers(name: str, given: Any) -> tuple[int, ...]:
    if not isinstance(given, list | tuple) or any(not isinstance(x, int) or isinstance(x, bool) for x in given):
        raise ValueError(f"comparison: {name}={list(given)!r}; give a list of whole numbers")
    return tuple(given)
