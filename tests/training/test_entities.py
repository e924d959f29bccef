"""Entities in labels of words: BIO, BIOES, BILOU, plain; exact or not found."""

import random

import pytest

from memenc.training.entities import Entity, Scheme, entity_scores
from memenc.training.tasks.token_classification import placed

PLAIN, PREFIXED = Scheme(False), Scheme(True)
CASES = {
    "BIO": ("O B-X I-X B-X O B-Y", [("X", 1, 3), ("X", 3, 4), ("Y", 5, 6)]),
    "a change of kind begins": ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
    "what goes on with nothing begins": ("I-X I-X O I-Y", [("X", 0, 2), ("Y", 3, 4)]),
    "BIOES": ("B-X I-X E-X S-X S-X O B-Y E-Y", [("X", 0, 3), ("X", 3, 4), ("X", 4, 5), ("Y", 6, 8)]),
    "an end ends": ("B-X E-X I-X", [("X", 0, 2), ("X", 2, 3)]),
    "BILOU": ("B-X L-X U-Y U-Y", [("X", 0, 2), ("Y", 2, 3), ("Y", 3, 4)]),
    "nothing": ("O O", []),
    "no words": ("", []),
}


@pytest.mark.parametrize("name", CASES)
def test_letters_say_where_an_entity_begins_and_ends(name):
    labels, wanted = CASES[name]
    assert PREFIXED.entities(labels.split()) == [Entity(*each) for each in wanted]


def test_plain_labels_are_one_entity_as_long_as_they_stay():
    wanted = [Entity("E-mail", 0, 2), Entity("X", 2, 3), Entity("X", 4, 5)]
    assert PLAIN.entities(["E-mail", "E-mail", "X", "O", "X"]) == wanted


def test_a_scheme_is_seen_in_its_labels():
    assert Scheme.of(["B-X", "I-X", "O"]).prefixed and Scheme.of(["B-X", "I-X", "E-X", "S-X"]).prefixed
    assert not Scheme.of(["E-mail", "O"]).prefixed and not Scheme.of(["B-X", "name", "O"]).prefixed
    assert not Scheme.of(["name", "O"]).prefixed


def spelled(entities, length, letters):
    """Labels of words; `letters` are those of a single word, the first, those between and the last."""
    labels = ["O"] * length
    for kind, start, end in entities:
        for place in range(start, end):
            letter = letters[1 if place == start else 3 if place == end - 1 else 2]
            labels[place] = f"{letters[0] if end == start + 1 else letter}-{kind}"
    return labels


@pytest.mark.parametrize("letters", ("BBII", "SBIE", "UBIL"))
def test_entities_come_back_from_their_labels(letters):
    entities, place = [], 0
    while place < 60:
        place += random.randint(0, 2)
        entities.append((random.choice("XY"), place, place + random.randint(1, 4)))
        place = entities[-1][2]
    assert PREFIXED.entities(spelled(entities, place, letters)) == [Entity(*each) for each in entities]


def test_only_what_is_exact_counts():
    right = [["B-X", "I-X", "O", "B-Y"], ["B-X", "O", "B-X", "I-X"]]
    said = [["B-X", "O", "O", "B-Y"], ["B-Y", "O", "B-X", "I-X"]]
    found = entity_scores(PREFIXED, said, right)
    # Too short, exact; of another kind, exact.
    assert found == {"entities": 4, "entity_precision": 0.5, "entity_recall": 0.5, "entity_f1": 0.5}
    assert entity_scores(PREFIXED, right, right)["entity_f1"] == 1
    found = entity_scores(PREFIXED, [["O"] * 4, ["B-X", "O", "B-X", "B-X"]], right)
    assert found["entity_precision"] == pytest.approx(1 / 3) and found["entity_recall"] == 0.25
    assert found["entity_f1"] == pytest.approx(2 / 7)
    # The same entity in another document is another.
    assert entity_scores(PREFIXED, [["B-X"], ["O"]], [["O"], ["B-X"]])["entity_f1"] == 0
    nothing = entity_scores(PREFIXED, [["O"]], [["O"]])
    assert set(nothing.values()) == {0}


def test_entities_are_characters():
    text = "Ada  Lovelace wrote"
    found = placed(Entity("P", 0, 2), [(0, 3), (5, 13), (14, 19)], text)
    assert found == {"label": "P", "start": 0, "end": 13, "text": "Ada  Lovelace"}
