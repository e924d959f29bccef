"""The first five tasks of bAbI that are stories of a world; the fourth is with the relations."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, chosen, distinct
from memenc.data.memory_tasks.facts import MOVE as MOVES_TO
from memenc.data.memory_tasks.facts import MOVES, NAMES, PLACES, WHERE
from memenc.data.memory_tasks.sentences import table_row
from memenc.data.memory_tasks.stories import DROPS, GIVES, HANDLES, HANDS_ON, TAKES, THINGS, Course, Story
from memenc.data.memory_tasks.vocabulary import Vocabulary
from memenc.data.memory_tasks.world import DROP, GIVE, MOVE, TAKE, Events, World

GIVERS = ("fred", "jeff", "mary", "bill")
WHERE_THING = "where is the {thing} ?"
WHERE_BEFORE = "where was the {thing} before the {place} ?"
GIFT_QUESTIONS = (
    "what did {giver} give to {receiver} ?",
    "who gave the {thing} ?",
    "who gave the {thing} to {receiver} ?",
    "who received the {thing} ?",
    "who did {giver} give the {thing} to ?",
)
SENTENCES = (*PLACES, *MOVES, *TAKES, *DROPS, *HANDLES, MOVES_TO, WHERE, WHERE_THING, WHERE_BEFORE)


class PlaceStory(Story):
    """A story whose question asks for a place."""

    vocabulary = Vocabulary(
        [*SENTENCES, *NAMES["train"], *THINGS["train"], *GIVES, HANDS_ON], [*NAMES["test"], *THINGS["test"]]
    )


@final
class OneFact(PlaceStory):
    """People move, "where is mary ?": task 1, one supporting fact."""

    name = "babi1"
    what_to_keep = "The last place of every person: the question asks for any of them."
    most_events = 10
    kinds = (MOVE,)
    least_places: ClassVar[int] = 1

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self._questions = self.vocabulary.table(WHERE, name=self.people[split])

    def _chain(self, generator: torch.Generator, world: World) -> Events:
        person = below(generator, world.place.shape[1], len(world.place), 1)
        there = _elsewhere(generator, world.place.gather(1, person))
        return Events(torch.full_like(person, MOVE), person, torch.zeros_like(person), there)

    def _ask(self, generator: torch.Generator, course: Course) -> tuple[Tensor, Tensor]:
        return table_row(self._questions, course.chain.person[:, 0]), course.where_person


@final
class TwoFacts(PlaceStory):
    """People carry things, "where is the apple ?": task 2, who has it or left it, and where."""

    name = "babi2"
    what_to_keep = "The last place of every person and thing, and who has what: the question asks for any thing."
    most_events = 14
    least_places: ClassVar[int] = 2

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self._questions = self.vocabulary.table(WHERE_THING, thing=self.things[split])

    def _chain(self, generator: torch.Generator, world: World) -> Events:
        person, thing = (below(generator, x.shape[1], len(x), 1) for x in (world.place, world.lies))
        here = world.place.gather(1, person)
        there = _elsewhere(generator, here)
        # Someone comes to the thing and takes it, or takes it and goes away.
        comes = below(generator, 2, len(here), 1).bool()
        world.lies.scatter_(1, thing, torch.where(comes, there, here))
        kinds = torch.tensor([MOVE, TAKE], device=here.device)
        kind = torch.where(comes, kinds, kinds.flip(0))
        return Events(kind, person.expand(-1, 2), thing.expand(-1, 2), there.expand(-1, 2))

    def _ask(self, generator: torch.Generator, course: Course) -> tuple[Tensor, Tensor]:
        return table_row(self._questions, course.chain.thing[:, 0]), course.where_thing[:, -1]


@final
class ThreeFacts(PlaceStory):
    """People carry things, "where was the apple before the kitchen ?", the last time it came there: task 3."""

    name = "babi3"
    what_to_keep = "All places of every thing in their order: the question asks for any."
    most_events = 20

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self._questions = self.vocabulary.table(WHERE_BEFORE, thing=self.things[split], place=PLACES)

    @property
    def chance(self) -> float:
        """The answer is another place than that of the question."""
        return 1 / (self.labels - 1)

    def _chain(self, generator: torch.Generator, world: World) -> Events:
        person, thing = (below(generator, x.shape[1], len(x), 1) for x in (world.place, world.lies))
        here = world.place.gather(1, person)
        world.lies.scatter_(1, thing, here)
        there = _elsewhere(generator, here)
        target = torch.cat([here, there, _elsewhere(generator, there)], dim=1)
        kind = torch.tensor([TAKE, MOVE, MOVE], device=here.device).expand_as(target)
        return Events(kind, person.expand(-1, 3), thing.expand(-1, 3), target)

    def _ask(self, generator: torch.Generator, course: Course) -> tuple[Tensor, Tensor]:
        turn = torch.arange(course.where_thing.shape[1], device=course.turns.device)
        # Before the first move of the chain nobody could tell where the thing was.
        known = (turn >= course.turns[:, 1:2])[:, :-1]
        before, after = course.where_thing[:, :-1], course.where_thing[:, 1:]
        arrives = known & (before != after)
        asked = after.gather(1, chosen(generator, arrives)[:, None])
        last = ((arrives & (after == asked)) * turn[1:]).argmax(1, keepdim=True)
        questions = table_row(self._questions, course.chain.thing[:, 0], asked.squeeze(1))
        return questions, before.gather(1, last).squeeze(1)


@final
class ThreeArgumentRelations(Story):
    """People hand things on, "who gave the apple to fred ?", the last time: task 5, in its five forms.

    The labels are the people and the things, each as often.
    """

    name = "babi5"
    what_to_keep = "Who last gave what to whom: the question leaves out any one or two of the three."
    most_events = 14
    kinds = (MOVE, TAKE, DROP, GIVE)
    least_places: ClassVar[int] = 2
    people: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(("train", "test"), GIVERS)
    things: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(("train", "test"), THINGS["train"])
    vocabulary = Vocabulary([*SENTENCES, *GIVERS, *THINGS["train"], *GIVES, HANDS_ON, *GIFT_QUESTIONS])

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        people, things = self.people[split], self.things[split]
        self.classes = (*people, *things)
        tables = (self.vocabulary.table(x, giver=people, thing=things, receiver=people) for x in GIFT_QUESTIONS)
        self._questions = torch.stack(list(tables))

    @property
    def chance(self) -> float:
        """A question about a thing has three answers; one about a person four, or three where it names another."""
        return (3 * 1 / 3 + 2 * 1 / 4 + 2 * 1 / 3) / self.labels

    def _chain(self, generator: torch.Generator, world: World) -> Events:
        thing = below(generator, world.lies.shape[1], len(world.lies), 1)
        people = distinct(generator, world.place.shape[1], len(world.place), 2)
        giver, receiver = people.split(1, dim=1)
        here = world.place.gather(1, giver)
        world.lies.scatter_(1, thing, here)
        world.place.scatter_(1, receiver, here)
        kind = torch.tensor([TAKE, GIVE], device=here.device).expand(len(here), -1)
        return Events(kind, giver.expand(-1, 2), thing.expand(-1, 2), receiver.expand(-1, 2))

    def _ask(self, generator: torch.Generator, course: Course) -> tuple[Tensor, Tensor]:
        gives = course.events.kind == GIVE
        told = torch.stack([course.events.person, course.events.thing, course.events.target])
        asked = told.gather(2, chosen(generator, gives)[None, :, None].expand(3, -1, 1))
        # A thing is the answer three times of seven, each form about people once.
        form = (below(generator, self.labels, len(gives)) - 2).clamp(min=0)
        named = _NAMED.to(form.device)[form].T[..., None]
        fits = gives & ((told == asked) | ~named).all(0)
        last = (fits * torch.arange(1, gives.shape[1] + 1, device=form.device)).argmax(1)
        answers = told.gather(2, last[None, :, None].expand(3, -1, 1)).squeeze(2)
        answers[1] += len(GIVERS)
        labels = answers.gather(0, _ANSWER.to(form.device)[form][None]).squeeze(0)
        return table_row(self._questions, form, *asked.squeeze(2)), labels


# What each form of question names, and which it asks for, of giver, thing and receiver.
_NAMED = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 0], [1, 1, 0]], dtype=torch.bool)
_ANSWER = torch.tensor([1, 0, 0, 2, 2])


def _elsewhere(generator: torch.Generator, here: Tensor) -> Tensor:
    """Another place than `here`, of the same shape."""
    return (here + 1 + below(generator, len(PLACES) - 1, *here.shape)) % len(PLACES)
