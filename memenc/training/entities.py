"""Entities in the labels of words, and how many were found exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What words have that belong to nothing; it does not count in F1, as usual for entities.
OUTSIDE = "O"
PREFIXED = re.compile(r"([BIESLU])-(.+)")
BEGINS, ENDS = "BSU", "ESLU"


@dataclass(frozen=True)
class Entity:
    """A stretch of words of one kind: numbers of its first word and of the word behind its last."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Scheme:
    """What the labels of words mean.

    Args:
        prefixed: they are BIO, BIOES or BILOU, a letter before every kind; else neighbours of one label are one entity.
    """

    prefixed: bool

    @classmethod
    def of(cls, names: Sequence[str]) -> Scheme:
        """Prefixed if all names but O are, and one of them begins something or goes on with it."""
        inside = [name for name in names if name != OUTSIDE]
        return cls(all(map(PREFIXED.fullmatch, inside)) and any(name[0] in "BI" for name in inside))

    def entities(self, labels: Sequence[str]) -> list[Entity]:
        """Entities in the labels of one document, as conlleval has them: what goes on with nothing begins.

        Source: Tjong Kim Sang and De Meulder 2003 (CoNLL-2003).
        """
        found: list[Entity] = []
        open_kind = None
        for place, label in enumerate(labels):
            letter, kind = self._parts(label)
            if kind is None:
                open_kind = None
                continue
            if kind == open_kind and letter not in BEGINS:
                found[-1] = Entity(kind, found[-1].start, place + 1)
            else:
                found.append(Entity(kind, place, place + 1))
            open_kind = None if letter in ENDS else kind
        return found

    def _parts(self, label: str) -> tuple[str, str | None]:
        """Letter and kind of a label; a plain one goes on like an I, and O has no kind."""
        if label == OUTSIDE:
            return "I", None
        match = PREFIXED.fullmatch(label) if self.prefixed else None
        return ("I", label) if match is None else (match[1], match[2])


def entity_scores(scheme: Scheme, said: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of entities over all documents; kind, first and last word must all be right.

    Args:
        scheme: of the labels.
        said: labels of the words of every document.
        right: like it.
    """
    guessed, there = (
        {(number, entity) for number, labels in enumerate(documents) for entity in scheme.entities(labels)}
        for documents in (said, right)
    )
    exact = len(guessed & there)
    return {
        "entities": len(there),
        "entity_precision": exact / max(1, len(guessed)),
        "entity_recall": exact / max(1, len(there)),
        "entity_f1": 2 * exact / max(1, len(guessed) + len(there)),
    }
