"""Who takes part: memory designs at equal bytes, the simple baselines, models of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memenc.memory import design_named, designs_of
from memenc.readout import READOUTS
from memenc.typed import typed

Kind = Literal["memory", "baseline", "published"]

BASELINES = (
    "tf-idf",
    "truncate-first",
    "truncate-last",
    "chunk-and-mean",
    "chunk-and-attention",
    "full-attention",
)

# Package of others -> module of ours in `published`.
PUBLISHED = {
    "compressive-transformer-pytorch": "compressive",
    "memorizing-transformers-pytorch": "memorizing",
    "recurrent-memory-transformer-pytorch": "recurrent_memory",
    "block-recurrent-transformer-pytorch": "block_recurrent",
    "infini-transformer-pytorch": "infini",
    "titans-pytorch": "titans",
}


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Args:
        name: of the row.
        kind: memory (of this library), baseline or published (a package of others).
        memory: design, for the kind memory.
        options: of the design; sizes that are left open follow from the budget.
        readout: what the head reads: "last" is the last segment's first token, which sees earlier segments through the
            memory of the layers alone; others also read the document memory over the layers.
        bounded: its state must fit the budget; otherwise it may grow, and one row serves all budgets.
    """

    name: str
    kind: Kind = "memory"
    memory: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    readout: str = "last"
    bounded: bool = True

    @property
    def has_budget(self) -> bool:
        """Whether there is one model for each budget."""
        return self.bounded and (self.kind == "published" or (self.kind == "memory" and self.memory != "none"))


def small_options(segment_length: int) -> dict[str, dict[str, Any]]:
    """Options by design that fit short segments: defaults are made for hundreds of tokens.

    What a segment is cut into is equally long: averages of up to 4 stretches, compression by its least divisor.
    """
    rate = next((n for n in range(2, segment_length + 1) if segment_length % n == 0), 1)
    return {
        "moving_average": {"slots": max(n for n in range(1, 5) if segment_length % n == 0)},
        "compressive": {"rate": rate},
        "pyramid": {"rate": rate, "levels": 1 if segment_length % rate**2 else 2},
        "global": {"keep": "attended"},
        "nearest": {"nearest": 4},
        "summary": {"tokens": 2},
        "associative": {"tokens": 2},
    }


# Beside the plain names: an option that makes another design of one, or a state without a bound.
VARIANTS = {
    "moving_average-cumulative": Contender("", memory="moving_average", options={"average": "cumulative"}),
    "nearest-unbounded": Contender("", memory="nearest", bounded=False),
    "summary-unbounded": Contender("", memory="summary", bounded=False),
}
# A design and the document memory over it, by a name such as "windowed/document".
DOCUMENT = "/document"


def design(entry: Any) -> Contender:
    """A memory by name (a design, a composition, a variant, each also with "/document"), or by {name, memory, ...}.

    Raises:
        ValueError: no such design or option.
    """
    if isinstance(entry, str):
        plain = entry.removesuffix(DOCUMENT)
        found = VARIANTS.get(plain) or Contender("", memory=plain)
        readout = "memory" if entry.endswith(DOCUMENT) else found.readout
        return _checked(Contender(entry, "memory", found.memory, found.options, readout, found.bounded))
    known = ("name", "memory", "options", "readout", "bounded")
    if not isinstance(entry, Mapping) or "name" not in entry or set(entry) - set(known):
        raise ValueError(f"design {entry!r}: give a name, or a mapping with name and any of {', '.join(known[1:])}")
    options = entry.get("options", {})
    if not isinstance(options, Mapping):
        raise ValueError(f"design {entry['name']!r}: options={options!r}; give a mapping of the design's options")
    plain = typed(Contender, {name: value for name, value in entry.items() if name != "options"}, "design")
    return _checked(Contender(**{"memory": plain["name"], **plain, "options": options}))


def baseline(entry: Any) -> Contender:
    """A baseline by name.

    Raises:
        ValueError: there is none of that name.
    """
    return Contender(_one_of(entry, BASELINES, "baseline"), "baseline")


def published(entry: Any) -> Contender:
    """A model of another package by the name of the package.

    Raises:
        ValueError: no adapter for it.
    """
    return Contender(_one_of(entry, tuple(PUBLISHED), "published package"), "published")


def _checked(contender: Contender) -> Contender:
    # Options of a budget are chosen later; what is given must exist now, not after hours of training.
    designs_of(contender.memory, dict(contender.options))
    if contender.readout not in READOUTS:
        raise ValueError(
            f"design {contender.name}: unknown readout {contender.readout!r}; there are {', '.join(READOUTS)}"
        )
    return contender


def start_options(memory: str, options: Mapping[str, Any], segment_length: int) -> dict[str, dict[str, Any]]:
    """Options by design: small, and with gates wide open, as a fresh encoder has nothing to protect."""
    opened = {"initial_bias": 0.0, "initial_share": 0.5}
    small = small_options(segment_length)
    return {
        part: {name: value for name, value in opened.items() if name in design_named(part).options}
        | small.get(part, {})
        | given
        for part, given in designs_of(memory, dict(options)).items()
    }


def _one_of(entry: Any, known: tuple[str, ...], what: str) -> str:
    if entry not in known:
        raise ValueError(f"unknown {what} {entry!r}; available: {', '.join(known)}")
    return entry
