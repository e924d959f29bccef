"""The line of progress: what it says at given times, and that it never stops what it tells of."""

import io
import json
import sys

import numpy
import pytest
from rich.console import Console

from memenc.cli import corpus, progress
from memenc.cli.progress import DocumentProgress, document_progress, said
from memenc.progress import time_left
from tests.cli.documents import reviews


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self):
        return self.now


def terminal(width=120):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(line):
    """What the line says now."""
    console = terminal()
    console.print(line.line.get_renderable())
    return " ".join(console.file.getvalue().split())


def test_a_line_says_how_much_how_fast_and_how_long():
    clock = Clock()
    line = DocumentProgress("reading", terminal(), clock)
    assert "reading" in shown(line) and "left" not in shown(line) and "tokens" not in shown(line)
    clock.now += 10
    line.advance(256, 50_000, 0.25)
    assert "256 documents 5,000 tokens/s 0:00:10 0:00:30 left" in shown(line)
    clock.now += 4
    # The same pace, and four seconds less.
    assert "5,000 tokens/s 0:00:14 0:00:26 left" in shown(line)
    clock.now += 6
    line.advance(1_000, 150_000, 1.0)
    assert "1,256 documents 10,000 tokens/s 0:00:20 0:00:00 left" in shown(line)


def test_a_file_gets_a_line_once_a_minute_and_a_terminal_none():
    clock, file = Clock(), io.StringIO()
    line, moving = DocumentProgress("reading [/data]", Console(file=file, width=40), clock), terminal()
    other = DocumentProgress("reading", moving, clock)
    for seconds, share in ((30, 0.1), (29, 0.2), (1, 0.3), (59, 0.4), (1, 0.5)):
        clock.now += seconds
        for each in (line, other):
            each.advance(100, 6_000, share)
    # After 60 and 120 seconds, on one line however narrow the file is.
    assert file.getvalue().splitlines() == [
        "reading [/data]:  300 documents 300 tokens/s  0:02:20 left",
        "reading [/data]:  500 documents 250 tokens/s  0:02:00 left",
    ]
    assert moving.file.getvalue() == ""


def test_nothing_is_said_of_what_nobody_knows():
    clock = Clock()
    line = DocumentProgress("reading", terminal(), clock)
    line.advance(7)
    clock.now += 2
    assert shown(line).endswith("7 documents 0:00:02")
    line.advance(3)
    assert shown(line).endswith("10 documents 0:00:02")
    assert said(0, 0, 0, 5.0) == "" and said(0, 9, 9, 0.0) == "9 tokens"


def test_a_line_of_large_numbers_fits_a_terminal():
    clock = Clock()
    line = DocumentProgress("reading", terminal(), clock)
    clock.now += 40_000
    line.advance(1_234_567, 4_000_000_000, 0.5)
    console = terminal(80)
    console.print(line.line.get_renderable())
    (found,) = console.file.getvalue().splitlines()
    assert found.rstrip().endswith("1,234,567 documents 100,000 tokens/s 11:06:40 11:06:40 left")


def test_what_was_read_before_says_nothing_of_the_speed():
    clock = Clock()
    line = DocumentProgress("reading", terminal(), clock)
    line.pass_over(1_000_000)
    clock.now += 2
    line.advance(tokens=600)
    assert "1,000,600 tokens 300 tokens/s" in shown(line)


def test_time_left():
    assert time_left(None, 5.0, 5.0) is None and time_left(0.0, 5.0, 5.0) is None and time_left(0.5, 0.0, 0.0) is None
    assert time_left(0.2, 10.0, 10.0) == pytest.approx(40) and time_left(0.2, 10.0, 60.0) == 0


def test_names_of_files_are_no_markup():
    line = DocumentProgress("reading [/data]/[red]", terminal())
    assert "reading [/data]/[red]" in shown(line)


class Broken(io.StringIO):
    """A terminal that is gone."""

    def write(self, text):
        raise OSError("gone")


def test_a_line_that_cannot_be_shown_stops_nothing(monkeypatch):
    monkeypatch.setattr(progress, "err", lambda: Console(file=Broken(), force_terminal=True))
    stdout = sys.stdout
    with document_progress() as line:
        line.advance(3, 7, 0.5)
        line.advance(share="no number")
    assert (line.documents, line.tokens) == (3, 7) and sys.stdout is stdout
    with pytest.raises(KeyError), document_progress():
        raise KeyError("what is wrong with the run itself is said")


@pytest.fixture
def told(monkeypatch):
    """What commands tell their lines: documents, tokens and share, in chunks of two documents."""
    found = []

    class Told(DocumentProgress):
        def advance(self, documents=0, tokens=0, share=None):
            found.append((documents, tokens, share))
            super().advance(documents, tokens, share)

    monkeypatch.setattr(progress, "DocumentProgress", Told)
    monkeypatch.setattr(corpus, "DOCUMENTS_PER_CHUNK", 2)
    return found


@pytest.mark.parametrize("command", ("predict", "evaluate", "encode"))
def test_commands_tell_what_they_read(memenc, model, lines, tmp_path, told, command):
    rows = reviews(5, seed=7)
    path, output = lines(rows), tmp_path / "found.jsonl"
    memenc(command, "--model", model, "--data", path, "--output", output, "--device", "cpu")
    tokens = [len(row["text"].split()) for row in rows]
    assert [each[:2] for each in told] == [(2, sum(tokens[:2])), (2, sum(tokens[2:4])), (1, tokens[4])]
    ends = numpy.cumsum([len(json.dumps(row)) + 1 for row in rows])[[1, 3, 4]]
    assert [each[2] for each in told] == pytest.approx(list(ends / path.stat().st_size))


def test_shards_tell_what_they_read(memenc, model, lines, tmp_path, told):
    rows = reviews(5, seed=7)
    arguments = ["--model", model, "--data", lines(rows), "--output", tmp_path / "out", "--device", "cpu"]
    memenc("encode", *arguments, "--documents-per-part", "2")
    assert [each[0] for each in told] == [2, 2, 1]
    assert sum(each[1] for each in told) == sum(len(row["text"].split()) for row in rows)
    assert told[-1][2] == 1.0


def test_one_document_tells_which_share_was_read(memenc, model, tmp_path, told):
    path, state = tmp_path / "all.txt", tmp_path / "all.state"
    text = " ".join(row["text"] for row in reviews(60))
    arguments = ["--model", model, "--data", path, "--state", state, "--output", tmp_path / "all.npz"]
    path.write_text(text[: len(text) // 2])
    memenc("encode", *arguments)
    assert told[0] == (0, 0, None) and told[-1][2] == 1.0
    before = sum(tokens for _, tokens, _ in told)
    told.clear()
    path.write_text(text)
    memenc("encode", *arguments)
    # What the state knew is told first, all but what more text may change.
    assert told[0][1] <= before and told[0][2] is None and told[-1][2] == 1.0
    assert sum(tokens for _, tokens, _ in told) == len(text.split())
