"""Questions of a record: the ways in which answers may be written, and what is refused."""

import pytest

from memenc.data.questions import Answer, QuestionsWithAnswers, questions_of
from memenc.data.records import Record

TEXT = "The cat sat on the mat."
WRITTEN = {
    "ours": [{"text": "cat", "start": 4}, {"text": "mat", "start": 19}],
    "as in SQuAD": [{"text": "cat", "answer_start": 4}, {"text": "mat", "answer_start": 19}],
    "as in datasets": {"text": ["cat", "mat"], "answer_start": [4, 19]},
}


def record(answers):
    return Record(TEXT, [{"question": "who sat on what ?", "answers": answers}])


@pytest.mark.parametrize("way", WRITTEN)
def test_answers_may_be_written_in_three_ways(way):
    (question,) = questions_of(record(WRITTEN[way]))
    assert question.answers == (Answer("cat", 4), Answer("mat", 19))
    QuestionsWithAnswers(True).check(record(WRITTEN[way]))


def test_no_answer_may_be_written_in_two():
    assert [questions_of(record(none))[0].answers for none in ([], {"text": [], "answer_start": []})] == [(), ()]


@pytest.mark.parametrize("wrong", ["cat", {"text": "cat", "answer_start": 4}, {"text": ["cat"], "answer_start": []}])
def test_other_answers_are_refused(wrong):
    with pytest.raises(ValueError, match="'answers' must be a list"):
        questions_of(record(wrong))
    with pytest.raises(ValueError, match="stands 'cat', not the answer 'mat'"):
        QuestionsWithAnswers(True).check(record([{"text": "mat", "answer_start": 4}]))
