"""Tasks as text: lengths, balance, splits, and what a reader makes of the documents."""

import gzip
from collections import Counter

import pytest

from memenc.data.memory_tasks import MEMORY_TASKS
from memenc.data.text_tasks import TEXT_TASKS, BabiFiles, read_babi
from memenc.data.text_tasks.babi_files import BabiQuestion, guessed
from tests.data.memory_readers import READERS, answer_story

BABI = """1 Mary moved to the garden.
2 John went to the {place}.
3 Where is John? \t{place}\t2
4 Mary journeyed to the kitchen.
5 Where is Mary? \tkitchen\t4
1 Mary went back to the garden.
2 Where is Mary?\tgarden\t1
"""
BOOKS = [" ".join(f"The {book} of page {page} ran on\nand on." for page in range(200)) for book in ("emma", "ulysses")]


@pytest.fixture
def babi(tmp_path):
    train, test = tmp_path / "qa1_train.txt.gz", tmp_path / "qa1_test.txt"
    train.write_bytes(gzip.compress(BABI.format(place="office").encode()))
    test.write_text(BABI.format(place="garden"))
    return BabiFiles(train, test, BOOKS)


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_documents_are_balanced_and_as_long_as_asked(name):
    task = TEXT_TASKS[name]()
    words = 20 if name == "remember" else 400
    texts, labels = task.documents(3, 60, words)
    assert task.name == name
    assert (texts, labels) == task.documents(3, 60, words)
    assert {*labels} <= {*task.classes} and max(Counter(labels).values()) < 50
    assert all(0.7 * words < len(text.split()) < 1.3 * words for text in texts)


@pytest.mark.parametrize("name", MEMORY_TASKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_memory_tasks_in_words_have_the_label_that_a_reader_finds(name, split):
    texts, labels = TEXT_TASKS[name]().documents(1, 20, 20 if name == "remember" else 200, split)
    assert [READERS[name](*text.rsplit("\n", 1)) for text in texts] == labels


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_splits_have_no_document_in_common(name):
    task = TEXT_TASKS[name]()
    train, test = (task.documents(0, 30, 25 if name == "remember" else 100, split)[0] for split in ("train", "test"))
    assert not {*train} & {*test}
    assert {*train} != {*task.documents(1, 30, 25 if name == "remember" else 100)[0]}


def test_babi_is_read_question_by_question(tmp_path):
    path = tmp_path / "qa1.txt"
    path.write_text(BABI.format(place="office"))
    first, second, third = read_babi(path)
    assert first.statements == ("Mary moved to the garden.", "John went to the office.")
    assert (first.question, first.answer) == ("Where is John?", "office")
    assert second.statements == (*first.statements, "Mary journeyed to the kitchen.")
    assert (third.statements, third.answer, third.words) == (("Mary went back to the garden.",), "garden", 9)


@pytest.mark.parametrize("words", [20, 21, 50, 3_000])
def test_babi_files_become_documents_of_exactly_so_many_words(babi, words):
    texts, labels = babi.documents(0, 40, words)
    assert {len(text.split()) for text in texts} == {words}
    assert set(labels) == set(babi.classes) == {"garden", "kitchen", "office"}
    assert [answer_story(*text.rsplit("\n", 1)) for text in texts] == labels
    assert babi.chance >= 1 / 3


def test_statements_of_babi_files_lie_all_over_the_document(babi):
    texts, _ = babi.documents(0, 300, 1_000)
    places = [text.split().index("Mary") / 1_000 for text in texts]
    assert min(places) < 0.1 and max(places) > 0.8


def test_splits_of_babi_files_have_their_own_prose_and_stories(babi):
    train, test = (" ".join(babi.documents(0, 30, 500, split)[0]) for split in ("train", "test"))
    assert "page 139 " in train and "page 140 " not in train
    assert "page 140 " in test and "page 139 " not in test
    assert "to the office" in train and "to the office" not in test
    assert "emma" in test and "ulysses" in test


def test_what_cannot_be_is_refused(babi, tmp_path):
    task = TEXT_TASKS["detect"]()
    for arguments, message in (((-1, 1, 9), "seed=-1"), ((0, 0, 9), "count=0"), ((0, 1, 0), "words=0")):
        with pytest.raises(ValueError, match=message):
            task.documents(*arguments)
    with pytest.raises(ValueError, match="split='validation'"):
        task.documents(0, 1, 9, "validation")
    with pytest.raises(ValueError, match="words=8: the shortest story of qa1 has 9"):
        babi.documents(0, 1, 8)
    bad = tmp_path / "bad.txt"
    for text, message in (("Mary went.", "bad.txt:1"), ("1 Mary went.", "no questions")):
        bad.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_babi(bad)
    train = tmp_path / "qa1_train.txt.gz"
    with pytest.raises(ValueError, match="books of 0 sentences"):
        BabiFiles(train, train, [])
    bad.write_text("1 Mary moved to the attic.\n2 Where is Mary?\tattic\t1")
    with pytest.raises(ValueError, match="attic"):
        BabiFiles(train, bad, BOOKS)


def test_what_a_question_gives_away_is_no_merit():
    told = [("who?", "mary"), ("who?", "john"), ("what?", "milk"), ("what?", "milk")]
    questions = [BabiQuestion((), question, answer) for question, answer in told]
    # Answers are equally frequent: a third of the documents each asks for mary, john and the milk.
    assert guessed(questions, questions) == pytest.approx(2 / 3)
    assert guessed(questions[:2], questions[2:]) == 1 / 2
    assert guessed(questions[2:], [BabiQuestion((), "what?", "john")]) == 0
