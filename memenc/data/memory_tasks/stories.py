"""Stories by the rules of bAbI, told in filler: people move, take things, leave them and hand them on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, distinct
from memenc.data.memory_tasks.facts import MOVE as MOVES_TO
from memenc.data.memory_tasks.facts import MOVES, NAMES, PLACES
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.world import DROP, GIVE, MOVE, NOTHING, TAKE, Events, World, one_after_another, where

THINGS = {"train": ("football", "apple", "milk"), "test": ("lamp", "letter", "basket")}
TAKES = ("took", "got", "grabbed", "picked up")
DROPS = ("left", "dropped", "discarded", "put down")
GIVES = ("gave", "handed", "passed")
HANDLES = ("{name} {verb} the {thing} .", "{name} {verb} the {thing} there .")
HANDS_ON = "{name} {verb} the {thing} to {other} ."


@dataclass(frozen=True)
class Course:
    """All that happened in every world.

    Args:
        events: (documents, events), NOTHING in shorter stories behind the last.
        chain: the events that make the question possible, (documents, events of it).
        turns: their numbers in `events`, (documents, events of it).
        where_thing: place of the chain's thing after every event, (documents, events).
        where_person: place of the chain's person at the end, (documents,).
    """

    events: Events
    chain: Events
    turns: Tensor
    where_thing: Tensor
    where_person: Tensor


class Story(SentenceTask):
    """Events in their order at random places of the document, and a question about the end or about one of them.

    A few events, the chain, make the question possible. Until the last of them, its people and its thing do nothing
    else; all other events are random ones of those that are possible in the world.

    Source: Weston et al. 2015, Towards AI-Complete Question Answering (arXiv:1502.05698), in filler as in Kuratov et
    al. 2024, BABILong (arXiv:2406.10149). The world has their rules, names and verbs and is otherwise our own.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other filler, and other names and things where those are no labels.
    """

    most_events: ClassVar[int]
    kinds: ClassVar[tuple[int, ...]] = (MOVE, TAKE, DROP)
    people: ClassVar[dict[str, tuple[str, ...]]] = NAMES
    things: ClassVar[dict[str, tuple[str, ...]]] = THINGS

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = PLACES
        names, things = self.people[split], self.things[split]
        table = self.vocabulary.table
        self._moves = table(MOVES_TO, name=names, verb=MOVES, place=PLACES)
        self._takes, self._drops = (
            torch.stack([table(x, name=names, verb=verbs, thing=things) for x in HANDLES]) for verbs in (TAKES, DROPS)
        )
        self._gives = table(HANDS_ON, name=names, verb=GIVES, thing=things, other=names)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        count = min(self.most_events, places)
        course = self._course(generator, documents, count)
        questions, labels = self._ask(generator, course)
        # Nothing happens behind the last event: those places come last, so that short stories spread as far as long.
        where_told = distinct(generator, places, documents, count) + places * (course.events.kind == NOTHING)
        said = self._said(generator, course.events)
        return Told(where_told.sort(1).values % places, said, questions, labels)

    def _course(self, generator: torch.Generator, documents: int, count: int) -> Course:
        """Let so many events, or fewer, happen in every world."""
        sizes = len(self.people["train"]), len(self.things["train"]), len(PLACES)
        world = World(generator, documents, *sizes, self.kinds)
        chain = self._chain(generator, world)
        steps = chain.kind.shape[1]
        length = steps + below(generator, count - steps + 1, documents)
        turns = _turns(generator, length, count, steps)
        busy, taken = _reserved(chain, world)
        happened, where_thing = [], []
        for turn in range(count):
            waiting = (turn <= turns[:, -1])[:, None]
            event = world.spontaneous(busy & waiting, taken & waiting)
            now = turns == turn
            step = now.long().argmax(1, keepdim=True)
            event = where(now.any(1), chain.map(lambda x, step=step: x.gather(1, step).squeeze(1)), event)
            event = Events(event.kind.masked_fill(turn >= length, NOTHING), event.person, event.thing, event.target)
            world.happen(event)
            happened.append(event)
            where_thing.append(world.place_of(chain.thing[:, 0]))
        person = world.place.gather(1, chain.person[:, :1]).squeeze(1)
        return Course(one_after_another(happened), chain, turns, torch.stack(where_thing, dim=1), person)

    def _said(self, generator: torch.Generator, events: Events) -> Tensor:
        """Sentences (documents, events, ids) of events."""
        verbs, there = below(generator, 60, *events.kind.shape), below(generator, 2, *events.kind.shape)
        person, thing = events.person, events.thing
        # The target of a move is no person, that of a gift no place: what is not meant must be in range all the same.
        place, other = events.target % len(PLACES), events.target % self._gives.shape[3]
        kind = events.kind[..., None]
        said = torch.where(kind == MOVE, table_row(self._moves, person, verbs % len(MOVES), place), 0)
        said = torch.where(kind == TAKE, table_row(self._takes, there, person, verbs % len(TAKES), thing), said)
        said = torch.where(kind == DROP, table_row(self._drops, there, person, verbs % len(DROPS), thing), said)
        return torch.where(kind == GIVE, table_row(self._gives, person, verbs % len(GIVES), thing, other), said)

    @abstractmethod
    def _chain(self, generator: torch.Generator, world: World) -> Events:
        """Events (documents, steps) that make the question possible; the world may be prepared for them."""

    @abstractmethod
    def _ask(self, generator: torch.Generator, course: Course) -> tuple[Tensor, Tensor]:
        """Questions (documents, ids) and labels (documents,)."""


def _turns(generator: torch.Generator, length: Tensor, count: int, steps: int) -> Tensor:
    """Ascending turns of a chain in stories of those lengths (documents,), (documents, steps)."""
    drawn = torch.rand(len(length), count, generator=generator, device=length.device)
    late = torch.arange(count, device=length.device) >= length[:, None]
    return drawn.masked_fill(late, -1.0).topk(steps, dim=1).indices.sort(1).values


def _reserved(chain: Events, world: World) -> tuple[Tensor, Tensor]:
    """The chain's people (documents, people) and its thing (documents, things), as true."""
    busy = torch.zeros_like(world.place, dtype=torch.bool).scatter(1, chain.person, True)
    receives = chain.kind == GIVE
    busy = busy.scatter(1, torch.where(receives, chain.target, chain.person), True)
    taken = torch.zeros_like(world.lies, dtype=torch.bool).scatter(1, chain.thing[:, :1], True)
    return busy, taken
