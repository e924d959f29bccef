"""What was said early decides about what comes late: rules and definitions."""

from __future__ import annotations

from typing import ClassVar, final

import torch

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, distinct
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

ACTIONS = {
    "train": ("paint", "polish", "rent", "photograph", "measure", "repair"),
    "test": ("clip", "oil", "label", "scan", "weigh", "decorate"),
}
OBJECTS = {
    "train": ("statue", "boat", "archive", "tower", "piano", "tunnel"),
    "test": ("vault", "clock", "greenhouse", "barn", "carpet", "fountain"),
}
RULES = ("never {action} the {object} .", "you may {action} the {object} .")
MAY = "may you {action} the {object} ?"
TERMS = {
    "train": ("zorb", "flim", "quax", "drint", "vosk", "plen", "murt", "glab"),
    "test": ("krell", "jund", "wumble", "sprack", "tolf", "brisp", "nurb", "yavel"),
}
MEANINGS = ("lantern", "robot", "whale", "planet", "cactus", "pirate", "pillow", "volcano")
HAPPENINGS = ("sings", "sleeps", "shines", "jumps", "melts", "whistles")
DEFINITION = "a {term} is a {meaning} ."
USE = "the {term} {happening} today ."
WHAT = "what {happening} today ?"


@final
class EarlyConstraint(SentenceTask):
    """Rules about two actions on two objects, as many that forbid as that allow; the one asked about stands early.

    The label is whether the action is allowed. Single words tell nothing: a distractor shares its action or its object.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other actions, objects and filler.
    """

    name = "early_constraint"
    what_to_keep = "All rules: the question asks for any action."
    vocabulary = Vocabulary([*ACTIONS["train"], *OBJECTS["train"], *RULES, MAY], [*ACTIONS["test"], *OBJECTS["test"]])
    least_places: ClassVar[int] = 2

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = ("no", "yes")
        words = {"action": ACTIONS[split], "object": OBJECTS[split]}
        self._rules = torch.stack([self.vocabulary.table(rule, **words) for rule in RULES])
        self._questions = self.vocabulary.table(MAY, **words)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        count = 4 if places >= 8 else 2
        actions, objects = (distinct(generator, len(ACTIONS["train"]), documents, 2) for _ in range(2))
        # A rule is one bit for its action and one for its object; the first is the one asked about.
        step = 1 + below(generator, 2, documents, 1)
        bits = torch.cat([torch.zeros_like(step), step, 3 - step, torch.full_like(step, 3)], dim=1)[:, :count]
        action, thing = actions.gather(1, bits >> 1), objects.gather(1, bits & 1)
        label = below(generator, 2, documents, 1)
        other = distinct(generator, count - 1, documents, count - 1) < count // 2
        allowed = torch.cat([label, label ^ other.long()], dim=1)
        early = below(generator, max(1, places // 4), documents, 1)
        elsewhere = (early + 1 + distinct(generator, places - 1, documents, count - 1)) % places
        return Told(
            places=torch.cat([early, elsewhere], dim=1),
            sentences=table_row(self._rules, allowed, action, thing),
            questions=table_row(self._questions, action[:, 0], thing[:, 0]),
            labels=label.squeeze(1),
        )


@final
class DefinitionLink(SentenceTask):
    """Up to four made-up terms, defined in the first half and used in the second; the label is what was meant.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other terms and filler; meanings are the labels.
    """

    name = "definition_link"
    what_to_keep = "All definitions, and which term is used how: the question asks for any use."
    vocabulary = Vocabulary([*MEANINGS, *HAPPENINGS, *TERMS["train"], DEFINITION, USE, WHAT], TERMS["test"])
    least_places: ClassVar[int] = 2

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = MEANINGS
        self._definitions = self.vocabulary.table(DEFINITION, term=TERMS[split], meaning=MEANINGS)
        self._uses = self.vocabulary.table(USE, term=TERMS[split], happening=HAPPENINGS)
        self._questions = self.vocabulary.table(WHAT, happening=HAPPENINGS)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        half = places // 2
        count = min(4, half)
        lists = (TERMS["train"], MEANINGS, HAPPENINGS)
        terms, meanings, happenings = (distinct(generator, len(words), documents, count) for words in lists)
        early, late = distinct(generator, half, documents, count), distinct(generator, places - half, documents, count)
        definitions, uses = table_row(self._definitions, terms, meanings), table_row(self._uses, terms, happenings)
        # Everything is in random order, so that the first term is any.
        return Told(
            places=torch.cat([early, half + late], dim=1),
            sentences=torch.cat([definitions, uses], dim=1),
            questions=table_row(self._questions, happenings[:, 0]),
            labels=meanings[:, 0],
        )
