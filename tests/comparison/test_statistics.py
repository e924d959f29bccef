"""Scores: errors and effective lengths against numbers worked out by hand."""

import math

import pytest

from memenc.comparison.statistics import effective_length, records_of, scores_of, standard_error
from tests.comparison.made_up import score


def test_standard_error_between_seeds():
    # 0.2, 0.5, 0.8: standard deviation 0.3.
    assert standard_error([20, 50, 80], [100] * 3) == pytest.approx(0.3 / math.sqrt(3))


def test_standard_error_of_documents():
    # 59 + 1 of 98 + 2 is 0.6: sqrt(0.6 * 0.4 / 98).
    assert standard_error([59], [98]) == pytest.approx(math.sqrt(0.24 / 98))
    # Seeds that happen to agree know no more than their documents.
    assert standard_error([59, 59], [98, 98]) == pytest.approx(math.sqrt(119 / 198 * 79 / 198 / 196))


def test_a_handful_of_perfect_answers_is_no_certainty():
    assert standard_error([62], [62]) == pytest.approx(math.sqrt(63 / 64 / 64 / 62))
    assert standard_error([0], [62]) > 0


def test_effective_length_is_the_longest_at_or_above_the_threshold():
    line = [score("linear", accuracy, segments) for segments, accuracy in ((2, 0.9), (8, 0.85), (32, 0.84))]
    assert effective_length(line, 0.85).segments == 8
    assert effective_length(line, 0.8).segments == 32
    assert effective_length(line, 0.95) is None
    assert effective_length([score("linear", None, 64), *line], 0.9).segments == 2


def test_scores_take_seeds_together():
    shared = {"task": "t", "contender": "c", "kind": "memory", "budget": 5, "segments": 4, "tokens": 64, "not_run": ""}
    rows = [
        shared | {"right": right, "documents": 100, "accuracy": right / 100, "chance": 0.5, "tokens_per_second": speed}
        for right, speed in ((50, 10), (70, 30), (90, 11))
    ]
    (found,) = scores_of([*rows, shared | {"accuracy": None, "not_run": "failed"}])
    assert found.accuracy == pytest.approx(0.7) and found.seeds == 3 and found.costs["tokens_per_second"] == 11
    assert found.error == pytest.approx(0.2 / math.sqrt(3))
    assert found.text == "0.70 ± 0.12" and not found.alive()


def test_what_is_missing_is_not_run_and_says_why():
    assert score("linear", None).text == "not run"
    assert records_of({}, []) == []


def test_alive_is_three_errors_above_guessing():
    assert score("linear", 0.32).alive()
    assert not score("linear", 0.30).alive()
