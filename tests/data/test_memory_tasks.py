"""Memory tasks: labels are what a reader of the text answers, and documents are made of what they should be."""

import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from memenc.data import memory_tasks
from memenc.data.memory_tasks import MEMORY_TASKS, Detect, JointStories, Memorize, Remember, Rewrite
from memenc.data.memory_tasks.associative import SYMBOLS
from memenc.data.memory_tasks.base import FIRST_WORD, PADDING, QUESTION, SEGMENT
from memenc.data.memory_tasks.sentences import SentenceTask
from memenc.data.memory_tasks.vocabulary import Vocabulary
from tests.data.memory_readers import EVENT, answer, wrong_labels

README = Path(memory_tasks.__file__).with_name("README.md")
SPLIT_TASKS = [kind for kind in MEMORY_TASKS.values() if "test" in kind.splits]
TASKS = [
    *(kind() for kind in MEMORY_TASKS.values()),
    *(kind(split="test") for kind in SPLIT_TASKS),
    *(Remember(2), Rewrite(2, room=1), Detect(11), MEMORY_TASKS["babi3"](40), MEMORY_TASKS["count"](32)),
]
SHORT = {
    kind.name: kind(1 + max(kind.width, kind.question_width))
    for kind in MEMORY_TASKS.values()
    if issubclass(kind, SentenceTask)
}
STORIES = ("babi1", "babi2", "babi3", "babi4", "babi5", "babi", "reasoning")


def identify(task):
    return f"{task.name}-{task.segment_length}-{getattr(task, 'split', '')}"


every_task = pytest.mark.parametrize("task", TASKS, ids=identify)
every_kind = pytest.mark.parametrize("kind", MEMORY_TASKS.values(), ids=list(MEMORY_TASKS))


def generator(seed=None):
    """A stream of documents, a fresh one if no seed is given."""
    return torch.Generator().manual_seed(int(torch.randint(2**31, ())) if seed is None else seed)


def parts_of(task, labels):
    """The task and its labels, or every task that it joins with the labels that are its own."""
    if not isinstance(task, JointStories):
        return [(task, labels)]
    names = [task.classes[number] for number in labels]
    mine = [names[number :: len(task.parts)] for number in range(len(task.parts))]
    return [
        (part, torch.tensor(list(map(part.classes.index, own)))) for part, own in zip(task.parts, mine, strict=True)
    ]


def pages_of(task, row):
    return task.text(row).splitlines()


@every_task
@pytest.mark.parametrize("segments", [2, 3, 14])
def test_labels_are_what_a_reader_finds(task, segments):
    ids, labels = task.batch(generator(), 50, segments)
    assert ids.shape == (50, segments * task.segment_length)
    assert labels.shape == (50,)
    assert ids.dtype == labels.dtype == torch.long
    assert ids.min() > PADDING and ids.max() < task.vocabulary_size
    marks = ids.view(50, segments, -1)[:, :, 0]
    assert (marks[:, :-1] == SEGMENT).all() and (marks[:, -1] == QUESTION).all()
    assert wrong_labels(task, ids, labels) == []


@pytest.mark.parametrize("name", SHORT)
def test_a_segment_may_hold_a_single_place(name):
    task = SHORT[name]
    least = task.least_segments
    assert task.places == (2 if name == "count" else 1) and (least - 1) * task.places >= task.least_places
    with pytest.raises(ValueError, match=f"{name} needs at least {task.segment_length}"):
        type(task)(task.segment_length - 1)
    for segments in (least, least + 1, 14):
        ids, labels = task.batch(generator(), 200, segments)
        assert wrong_labels(task, ids, labels) == [], segments
        assert (ids.view(200, segments, -1)[:, -1, 0] == QUESTION).all(), "no question covers the mark"
    with pytest.raises(ValueError, match=f"{least - 1} segments; give at least {least}"):
        task.batch(generator(), 4, least - 1)


@pytest.mark.parametrize("name", STORIES)
def test_a_reader_agrees_on_thousands_of_stories(name):
    task = MEMORY_TASKS[name]()
    for documents, segments in ((600, 2), (500, 4), (400, 9), (50, 40)):
        assert wrong_labels(task, *task.batch(generator(), documents, segments)) == []


@every_kind
def test_the_reader_notices_one_wrong_document(kind):
    task = kind()
    ids, labels = task.batch(generator(), 20, 5)
    labels[17] = (labels[17] + 1) % task.labels
    assert wrong_labels(task, ids, labels) == [17]


def test_the_reader_notices_an_impossible_event():
    task = MEMORY_TASKS["babi2"]()
    row = task.batch(generator(), 1, 9)[0][0]
    move = next(event for event in EVENT.finditer(task.text(row)) if event["mover"])
    twice = task.text(row).replace(move[0], f"{move[0]} {move['mover']} moved to the {move['place']}.", 1)
    task.text = lambda _: twice
    with pytest.raises(AssertionError):
        answer(task, row)


@every_task
def test_a_seed_is_one_stream_of_documents(task):
    first, same, other = generator(1), generator(1), generator(2)
    for segments in (4, 7):
        ids, labels = task.batch(first, 8, segments)
        again, labels_again = task.batch(same, 8, segments)
        assert torch.equal(ids, again) and torch.equal(labels, labels_again)
    assert not torch.equal(task.batch(first, 8, 4)[0], task.batch(same, 8, 5)[0][:, : 4 * task.segment_length])
    assert not torch.equal(ids, task.batch(other, 8, 7)[0])


@every_task
@pytest.mark.parametrize("segments", [2, 9])
def test_labels_are_uniform(task, segments):
    labels = task.batch(generator(), 4_000, segments)[1]
    # There are many tasks, and one in a million fails by chance.
    for part, numbers in parts_of(task, labels):
        assert chisquare(numbers.bincount(minlength=part.labels)).pvalue > 1e-6


@pytest.mark.gpu
@every_kind
def test_documents_are_made_on_the_device_of_the_generator(kind):
    task = kind()
    ids, labels = task.batch(torch.Generator("cuda").manual_seed(0), 50, 9)
    assert ids.device.type == labels.device.type == "cuda"
    assert wrong_labels(task, ids.cpu(), labels.cpu()) == []


def test_keys_are_unique_where_nothing_is_rewritten():
    task = Remember()
    ids, _ = task.batch(generator(), 100, task.most_segments)
    keys = ids.view(100, -1, task.segment_length)[:, :-1, 1]
    assert (keys.sort(1).values == torch.arange(FIRST_WORD, FIRST_WORD + SYMBOLS)).all()


def test_rewriting_repeats_keys_and_asks_for_old_ones_too():
    task = Rewrite()
    rows = task.batch(generator(), 200, 41)[0].view(200, 41, task.segment_length)
    latest = [max(i for i in range(40) if row[i, 1] == row[40, 1]) for row in rows]
    assert min(latest) < 15
    assert max(latest) == 39


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("memorize", EVENT, {0}),
        ("detect", EVENT, set(range(8))),
        ("passkey", re.compile("pass key is"), set(range(8))),
        ("early_exact", re.compile("error code"), {0, 1}),
    ],
)
def test_what_is_asked_for_stands_where_the_task_says(name, line, expected):
    task = MEMORY_TASKS[name]()
    documents = (pages_of(task, row)[:-1] for row in task.batch(generator(), 2_000, 9)[0])
    places = Counter(next(i for i, page in enumerate(pages) if line.search(page)) for pages in documents)
    assert set(places) == expected
    assert max(places.values()) < 2 * min(places.values())


def test_joint_stories_are_told_in_turn():
    task = JointStories(9, tasks=["babi3", "babi5", "babi4"])
    assert task.least_segments == 4 and task.labels == 6 + 7
    ids, labels = task.batch(generator(), 50, 6)
    assert wrong_labels(task, ids, labels) == []
    starts = [pages_of(task, row)[-1].split(" ")[-9:] for row in ids]
    before = [" before " in " ".join(words) for words in starts]
    assert before == [number % 3 == 0 for number in range(50)] == (task.part_of(50) == 0).tolist()
    for wrong in (["babi6"], [], ["babi1", "babi1"]):
        with pytest.raises(ValueError, match="give some of babi1, babi2, babi3, babi4, babi5, each once"):
            JointStories(tasks=wrong)


def test_events_of_stories_are_of_every_kind_and_all_over_the_document():
    task = MEMORY_TASKS["babi5"]()
    kinds, pages = Counter(), Counter()
    for row in task.batch(generator(), 600, 9)[0]:
        for number, page in enumerate(pages_of(task, row)[:-1]):
            found = [event.lastgroup for event in EVENT.finditer(page)]
            kinds.update(found)
            pages[number] += len(found)
    assert set(kinds) == {"place", "taken", "dropped", "receiver"} and min(kinds.values()) > 100
    assert max(pages.values()) < 2 * min(pages.values())


def test_the_rule_asked_about_stands_in_the_first_quarter():
    task = MEMORY_TASKS["early_constraint"]()
    for row in task.batch(generator(), 200, 9)[0]:
        *pages, question = pages_of(task, row)
        asked = re.search(r"may you (.*)\?", question)[1]
        assert any(f" {asked}." in page for page in pages[:2])
        assert len(re.findall(r"(?:never|you may) \w+ the \w+\.", " ".join(pages))) == 4


def test_filler_does_not_tell_the_label():
    task = Memorize()
    ids, labels = task.batch(generator(), 3_000, 2)
    filler = ids[:, 9 : task.segment_length]
    most_frequent = filler.flatten().mode().values
    shares = torch.stack([(filler[labels == label] == most_frequent).double().mean() for label in range(task.labels)])
    assert shares.max() - shares.min() < 0.05


@pytest.mark.parametrize("kind", SPLIT_TASKS, ids=lambda kind: kind.name)
def test_splits_share_the_words_of_labels_and_sentences_alone(kind):
    tasks = {split: kind(split=split) for split in kind.splits}
    used = {}
    for split, task in tasks.items():
        ids = torch.cat([task.batch(generator(), 500, segments)[0].flatten() for segments in (2, 9)])
        used[split] = {task.words[number] for number in ids.unique()} - {""}
    own = {split: used[split] - used[other] for split, other in (("train", "test"), ("test", "train"))}
    assert tasks["train"].words == tasks["test"].words
    assert min(len(words) for words in own.values()) >= 190
    assert len(used["train"] & used["test"]) < 70


def test_the_names_of_the_other_split_are_other_ones():
    for name, expected in {"babi2": ("peter", "mary"), "definition_link": ("krell", "zorb")}.items():
        for split, (there, missing) in {"test": expected, "train": expected[::-1]}.items():
            task = MEMORY_TASKS[name](split=split)
            text = " ".join(map(task.text, task.batch(generator(), 100, 9)[0]))
            assert there in text and missing not in text


@every_kind
def test_tasks_describe_themselves(kind):
    task = kind()
    assert MEMORY_TASKS[task.name] is kind
    assert len(set(task.classes)) == task.labels
    assert len(task.words) == task.vocabulary_size == 3 + len(set(task.words))
    assert 1 / task.labels <= task.chance <= 0.5
    assert re.fullmatch(r"[A-Z].*\.", task.what_to_keep)


def test_every_task_has_a_row_with_its_chance():
    rows = dict(re.findall(r"^\| `(\w+)` .*\| ([\d./]+) \|$", README.read_text(), re.MULTILINE))
    assert list(rows) == list(MEMORY_TASKS)
    assert {name: round(float(Fraction(chance)), 2) for name, chance in rows.items()} == {
        name: round(kind().chance, 2) for name, kind in MEMORY_TASKS.items()
    }


def test_text_has_a_line_for_every_segment():
    text = Remember().text(Remember().batch(generator(0), 1, 4)[0][0])
    assert re.fullmatch(r"([a-p] \d+\n){3}[a-p]", text)


@every_kind
@pytest.mark.parametrize("segments", [0, 1])
def test_impossible_lengths_are_refused(kind, segments):
    with pytest.raises(ValueError, match=f"{segments} segments"):
        kind().batch(generator(), 4, segments)


def test_more_segments_than_keys_are_refused():
    with pytest.raises(ValueError, match="18 segments"):
        Remember().batch(generator(), 4, 18)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="key_size"):
        Remember(0)
    with pytest.raises(ValueError, match="segment_length=7: detect needs at least 8"):
        Detect(7)
    with pytest.raises(ValueError, match="split='validation'"):
        Detect(split="validation")
    with pytest.raises(ValueError, match="hat"):
        Vocabulary(["the hat is red ."])
