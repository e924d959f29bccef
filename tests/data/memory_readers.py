"""Readers of memory tasks: they see the text of a document alone, know nothing of how it was made, and answer."""

import re

from memenc.data.memory_tasks.base import FIRST_WORD
from memenc.data.memory_tasks.scenarios.gist import KINDS

EVENT = re.compile(
    r"(?P<mover>\w+) (?:moved|went|went back|journeyed|travelled) to the (?P<place>\w+)\."
    r"|(?P<taker>\w+) (?:took|got|grabbed|picked up) the (?P<taken>\w+)(?: there)?\."
    r"|(?P<dropper>\w+) (?:left|dropped|discarded|put down) the (?P<dropped>\w+)(?: there)?\."
    r"|(?P<giver>\w+) (?:gave|handed|passed) the (?P<given>\w+) to (?P<receiver>\w+)\.",
    re.IGNORECASE,
)
RELATION = re.compile(r"the (\w+) is (\w+) of the (\w+)\.", re.IGNORECASE)
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
ORDINALS = ["first", "second", "third", "fourth"]


class Story:
    """Where everybody and everything was, one step after the other, as far as it can be known."""

    def __init__(self, text):
        self.places, self.holders, self.lying, self.visits, self.gifts = {}, {}, {}, {}, []
        for event in EVENT.finditer(text):
            self.read(**event.groupdict())
            for thing in {*self.holders, *self.lying}:
                place, visits = self.where(thing), self.visits.setdefault(thing, [])
                if place and visits[-1:] != [place]:
                    visits.append(place)

    def read(self, mover, place, taker, taken, dropper, dropped, giver, given, receiver):
        if mover:
            assert self.places.get(mover) != place
            self.places[mover] = place
        elif taker:
            assert taken not in self.holders
            self.meet(taker, self.where(taken))
            self.holders[taken] = taker
        elif dropper:
            assert self.holders.pop(dropped) == dropper
            self.lying[dropped] = self.places.get(dropper)
        else:
            assert self.holders.pop(given) == giver != receiver
            self.meet(giver, self.places.get(receiver))
            self.meet(receiver, self.places.get(giver))
            self.holders[given] = receiver
            self.gifts.append((giver, given, receiver))

    def meet(self, person, place):
        """Someone is known to be there, and nothing speaks against it."""
        if place:
            assert self.places.setdefault(person, place) == place

    def where(self, thing):
        return self.places.get(self.holders[thing]) if thing in self.holders else self.lying.get(thing)


def last_gift(story, answer, **known):
    gifts = [dict(zip(("giver", "thing", "receiver"), gift, strict=True)) for gift in story.gifts]
    return [gift[answer] for gift in gifts if known.items() <= gift.items()][-1]


STORY_QUESTIONS = {
    r"what did (\w+) give to (\w+)": lambda story, p, q: last_gift(story, "thing", giver=p, receiver=q),
    r"who gave the (\w+) to (\w+)": lambda story, t, q: last_gift(story, "giver", thing=t, receiver=q),
    r"who gave the (\w+)": lambda story, t: last_gift(story, "giver", thing=t),
    r"who received the (\w+)": lambda story, t: last_gift(story, "receiver", thing=t),
    r"who did (\w+) give the (\w+) to": lambda story, p, t: last_gift(story, "receiver", giver=p, thing=t),
    r"where is the (\w+)": lambda story, t: story.where(t),
    r"where is (\w+)": lambda story, p: story.places[p],
    r"where was the (\w+) before the (\w+)": lambda story, t, x: before(story.visits[t], x),
}


def before(visits, place):
    return visits[max(i for i in range(1, len(visits)) if visits[i] == place) - 1]


def answer_story(text, question):
    for pattern, answer in STORY_QUESTIONS.items():
        if match := re.search(rf"\b{pattern} ?\?", question, re.IGNORECASE):
            return answer(Story(text), *match.groups())
    raise AssertionError(question)


def answer_relations(text, question):
    lies = {}
    for place, direction, other in RELATION.findall(text):
        lies[direction, other.lower()] = place.lower()
        lies[OPPOSITE[direction], place.lower()] = other.lower()
    if match := re.search(r"what is (\w+) of what is (\w+) of the (\w+) ?\?", question):
        return lies[match[1], lies[match[2], match[3]]]
    if match := re.search(r"what is (\w+) of the (\w+) ?\?", question, re.IGNORECASE):
        return lies[match[1], match[2]]
    match = re.search(r"what is the (\w+) (\w+) of ?\?", question, re.IGNORECASE)
    return lies[OPPOSITE[match[2]], match[1]]


def answer_any_story(text, question):
    return (answer_relations if " is " in question and " of" in question else answer_story)(text, question)


def answer_key(text, question):
    ordinal, key = re.search(r"what is the (\w+) number of the (\w+) key\?", question).groups()
    (numbers,) = re.findall(rf"the {key} key is ([\d ]+)\.", text)
    return numbers.split()[ORDINALS.index(ordinal)]


def answer_note(text, question):
    last = re.findall(r"the note says (\w+ \w+ \w+)\.", text.splitlines()[-1])[-1]
    return last.split()[ORDINALS.index(re.search(r"which word was (\w+) in the last note\?", question)[1])]


def answer_error(text, question):
    pages = text.splitlines()
    (numbers,) = re.findall(r"error code (\d \d \d) appeared\.", "\n".join(pages[: max(1, len(pages) // 4)]))
    return numbers.split()[ORDINALS.index(re.search(r"number was (\w+) in the error code\?", question)[1])]


def answer_gist(text, question):
    assert question.endswith("what kind of thing came first?")
    kinds = [next(kind for kind, words in KINDS.items() if word in words) for word in re.findall(r"of the (\w+)", text)]
    assert sorted(set(kinds), key=kinds.index) == [kinds[0], kinds[-1]]
    return kinds[0]


def answer_constraint(text, question):
    action = re.search(r"may you (\w+ the \w+)\?", question)[1]
    assert len(re.findall(r"\bnever ", text)) == len(re.findall(r"\byou may ", text))
    places = [line for line in text.splitlines() if re.search(rf"(never|you may) {action}\.", line)]
    (rule,) = re.findall(rf"(never|you may) {action}\.", "\n".join(places))
    return {"never": "no", "you may": "yes"}[rule]


def answer_definition(text, question):
    (term,) = re.findall(rf"the (\w+) {re.search('what (.+ today)', question)[1]}\.", text)
    (meaning,) = re.findall(rf"a {term} is a (\w+)\.", text)
    assert text.index(f"a {term} is") < text.index(f"the {term} ")
    return meaning


def answer_update(text, question):
    subject = re.search(r"which colour is the (\w+)\?", question)[1]
    stated = re.findall(r"the (\w+) is now (\w+)\.", text)
    first, second = [number for number, (of, _) in enumerate(stated) if of == subject]
    assert second > first + 1 and stated[first][1] != stated[second][1]
    return stated[second][1]


def answer_count(text, question):
    assert question.endswith("how often did the bell ring?")
    return str(len(re.findall(r"the bell rang\.", text)))


def answer_pair(text, question):
    return [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.rsplit(" ", 1)[0] == question][-1]


READERS = {
    **dict.fromkeys(("remember", "rewrite"), answer_pair),
    **dict.fromkeys(("memorize", "detect", "babi1", "babi2", "babi3", "babi5"), answer_story),
    **dict.fromkeys(("reasoning", "babi4"), answer_relations),
    **dict.fromkeys(("passkey", "multikey"), answer_key),
    "babi": answer_any_story,
    "recent_exact": answer_note,
    "early_exact": answer_error,
    "early_gist": answer_gist,
    "early_constraint": answer_constraint,
    "definition_link": answer_definition,
    "update": answer_update,
    "count": answer_count,
}


def answer(task, row):
    """What a reader of a document (tokens,) answers."""
    assert row.min() >= 1 and (row.view(-1, task.segment_length)[:, 0] < FIRST_WORD).all()
    text, question = task.text(row).rsplit("\n", 1)
    return READERS[task.name](text, question)


def wrong_labels(task, ids, labels):
    """Numbers of the documents whose label is not what the reader answers."""
    return [number for number, row in enumerate(ids) if answer(task, row) != task.classes[labels[number]]]
