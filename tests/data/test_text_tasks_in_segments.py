"""Text tasks as ids: nothing of a document is lost but rare words, and testing has documents of its own."""

import gzip

import pytest
import torch

from memenc.comparison import ComparisonSettings
from memenc.comparison.measure import measure
from memenc.data.memory_tasks.base import BLANK, QUESTION, SEGMENT
from memenc.data.text_tasks import GENERATED_TASKS, SEGMENT_TASKS
from memenc.data.text_tasks.in_segments import UNKNOWN, plain_words
from tests.comparison.tiny_cells import cell_of
from tests.data.test_text_tasks import BABI, BOOKS


@pytest.fixture
def folders(tmp_path):
    files, books = tmp_path / "babi", tmp_path / "books"
    for folder in (files, books):
        folder.mkdir()
    (files / "qa1_single_train.txt.gz").write_bytes(gzip.compress(BABI.format(place="office").encode()))
    (files / "qa1_single_test.txt").write_text(BABI.format(place="garden"))
    (files / "qa10_other_train.txt").write_text("1 nothing\n")
    for number, book in enumerate(BOOKS):
        (books / f"{number}.txt.gz").write_bytes(gzip.compress(book.encode()))
    return {"files": str(files), "books": str(books)}


def batch(task, documents=40, segments=5):
    return task.batch(torch.Generator().manual_seed(torch.randint(1000, ()).item()), documents, segments)


def test_stories_from_files_are_told_whole_and_answered_by_their_last_move(folders):
    task = SEGMENT_TASKS["babi_files"](**folders, segment_length=12)
    ids, labels = batch(task)
    assert ids.shape == (40, 60) and {*labels.tolist()} == {0, 1, 2}
    for row, label in zip(ids, labels, strict=True):
        *told, asked = task.text(row).split("\n")
        name, words = asked.split()[-1], " ".join(told).split()
        moves = [place for place, word in enumerate(words) if word == name]
        assert words[moves[-1] : moves[-1] + 6].index("the") < 5
        after = words[moves[-1] :]
        assert after[after.index("the") + 1] == task.classes[label]


def test_every_segment_has_its_mark_and_the_last_one_asks(folders):
    ids, _ = batch(SEGMENT_TASKS["babi_files"](**folders, segment_length=12))
    marks = ids.view(40, 5, 12)[:, :, 0]
    assert (marks[:, :-1] == SEGMENT).all() and (marks[:, -1] == QUESTION).all()
    asks = ids.view(40, 5, 12)[:, -1, 1:]
    assert (asks[:, : 11 - 3] == BLANK).all() and (asks[:, -3:] > UNKNOWN).all()


def test_testing_has_other_stories_and_other_prose(folders):
    task = SEGMENT_TASKS["babi_files"](**folders, segment_length=30)
    test = task.for_testing()
    assert test.words == task.words and test.classes == task.classes and task.for_testing().split == "test"
    train_text, test_text = (
        "\n".join(map(each.text, batch(each, documents=60, segments=4)[0])) for each in (task, test)
    )
    assert "to the office" in train_text and "to the office" not in test_text
    assert "page 140 " in test_text and "page 140 " not in train_text


@pytest.mark.parametrize("kind", ["decisive_sentence", "decisive_paraphrase"])
def test_a_decisive_sentence_stands_whole_in_one_segment(kind):
    task = SEGMENT_TASKS[kind](segment_length=41)
    ids, labels = batch(task, documents=8, segments=6)
    # The text task itself says which sentence it is.
    seed, words = 7, 5 * 40
    made = task.texts.asked(seed, 8, words, "train")
    assert all(len(plain_words(text)) == words for text in made.texts)
    assert ids.shape == (8, 6 * 41) and (ids == UNKNOWN).float().mean() < 0.05
    assert set(labels.tolist()) == {0, 1, 2, 3} and task.chance == 0.25
    assert task.text(ids[0]).endswith("what became of the application?")
    assert not {*task.texts.asked(seed, 8, words, "test").texts} & {*made.texts}


def test_the_same_generator_gives_the_same_documents():
    task = SEGMENT_TASKS["decisive_sentence"]()
    first, again, other = (task.batch(torch.Generator().manual_seed(seed), 4, 3)[0] for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_documents_have_room_for_a_story_of_every_answer(folders):
    # "Mary journeyed to the kitchen." comes after ten words, the other answers need six.
    task = SEGMENT_TASKS["babi_files"](**folders, segment_length=8)
    assert task.least_segments == 1 + -(-16 // 7)
    with pytest.raises(ValueError, match="give at least 4"):
        batch(task, segments=3)
    assert len(set(batch(task, documents=60, segments=4)[1].tolist())) == 3
    assert SEGMENT_TASKS["decisive_sentence"]().least_segments == 2


def test_what_cannot_be_is_refused(folders, tmp_path):
    for options, message in [
        ({"segment_length": 3}, "the longest question of qa1 needs 4"),
        ({"files": str(tmp_path / "nowhere")}, "there is no qa1_"),
        ({"books": str(tmp_path / "nowhere")}, "no .*txt"),
        ({"task": 7}, "there is no qa7_"),
    ]:
        with pytest.raises(ValueError, match=message):
            SEGMENT_TASKS["babi_files"](**(folders | options))
    with pytest.raises(ValueError, match="at least 30 words"):
        SEGMENT_TASKS["decisive_sentence"](segment_length=20)


def test_they_take_part_in_comparisons(folders):
    assert {"decisive_sentence", "decisive_paraphrase"} < set(GENERATED_TASKS)
    named = {task.name for task in ComparisonSettings.of({"tasks": ["all"], "designs": ["none"]}).tasks}
    assert named == set(GENERATED_TASKS)
    entry = {"name": "qa1", "task": "babi_files", "options": {**folders, "segment_length": 20}}
    found = measure(cell_of("windowed", tasks=[entry], budgets=[4_000]), lambda share: None)
    assert found["chance"] >= 1 / 3 and [row["documents"] for row in found["rows"]] == [64, 64]
    with pytest.raises(ValueError, match="there is no qa1_"):
        cell_of("windowed", tasks=[{"name": "babi_files", "options": {"files": "nowhere", "books": "nowhere"}}])
