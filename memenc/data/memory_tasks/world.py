"""A small world in which people move, take things, leave them and hand them on: many worlds at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memenc.data.memory_tasks.draws import below, chosen

NOTHING, MOVE, TAKE, DROP, GIVE = range(5)


@dataclass(frozen=True)
class Events:
    """What happens, one event or several to a world.

    Args:
        kind: NOTHING, MOVE, TAKE, DROP or GIVE, (documents, ...).
        person: who does it.
        thing: what is taken, left or given; any number in MOVE.
        target: the place of MOVE, the receiver of GIVE; any number in TAKE and DROP.
    """

    kind: Tensor
    person: Tensor
    thing: Tensor
    target: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Events:
        """The same with every tensor changed."""
        return Events(*map(change, vars(self).values()))


def one_after_another(events: list[Events]) -> Events:
    """Events (documents,) as one (documents, events)."""
    return Events(*(torch.stack(list(x), dim=1) for x in zip(*(vars(event).values() for event in events), strict=True)))


def where(condition: Tensor, events: Events, others: Events) -> Events:
    """Those of `events` where the condition (documents,) holds, else those of `others`."""
    pairs = zip(vars(events).values(), vars(others).values(), strict=True)
    return Events(*(torch.where(condition, *pair) for pair in pairs))


class World:
    """People and things at hidden random places; what happens is possible there.

    Args:
        generator: source of all that is random.
        documents: number of worlds.
        people: in each.
        things: in each.
        places: in each.
        kinds: of events that happen by themselves.
    """

    def __init__(
        self, generator: torch.Generator, documents: int, people: int, things: int, places: int, kinds: tuple[int, ...]
    ) -> None:
        self.generator = generator
        self.places = places
        self.place = below(generator, places, documents, people)
        self.lies = below(generator, places, documents, things)
        self.holder = torch.full((documents, things), -1, device=generator.device)
        possible = torch.zeros(5, dtype=torch.bool)
        possible[list(kinds)] = True
        self._possible = possible.to(generator.device)

    def place_of(self, thing: Tensor) -> Tensor:
        """Where a thing of every world (documents,) is, in a hand or not."""
        holder = _of(self.holder, thing)
        return torch.where(holder >= 0, _of(self.place, holder.clamp(min=0)), _of(self.lies, thing))

    def spontaneous(self, busy: Tensor, taken: Tensor) -> Events:
        """A random event of every world, of those that are possible.

        Args:
            busy: people who do nothing by themselves, (documents, people); never all of them.
            taken: things that nobody touches, (documents, things).
        """
        person = chosen(self.generator, ~busy)
        here = _of(self.place, person)
        held = (self.holder == person[:, None]) & ~taken
        free = (self.holder < 0) & (self.lies == here[:, None]) & ~taken
        near = (self.place == here[:, None]) & ~busy
        near = near.scatter(1, person[:, None], False)
        always, holds = torch.ones_like(person, dtype=torch.bool), held.any(1)
        options = torch.stack([~always, always, free.any(1), holds, holds & near.any(1)], dim=1)
        kind = chosen(self.generator, options & self._possible)
        thing = chosen(self.generator, torch.where((kind == TAKE)[:, None], free, held))
        elsewhere = (here + 1 + below(self.generator, self.places - 1, len(here))) % self.places
        return Events(kind, person, thing, torch.where(kind == GIVE, chosen(self.generator, near), elsewhere))

    def happen(self, event: Events) -> None:
        """Change every world as its event says."""
        moves, takes, drops, gives = (event.kind == kind for kind in (MOVE, TAKE, DROP, GIVE))
        _set(self.lies, event.thing, _of(self.place, event.person), drops)
        # Numbers of places are no people, but only those of GIVE are looked at.
        new_holder = torch.where(takes, event.person, torch.where(gives, event.target, -1))
        _set(self.holder, event.thing, new_holder, takes | drops | gives)
        _set(self.place, event.person, event.target, moves)


def _of(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[:, None]).squeeze(1)


def _set(values: Tensor, index: Tensor, new: Tensor, changed: Tensor) -> None:
    values.scatter_(1, index[:, None], torch.where(changed, new, _of(values, index))[:, None])
