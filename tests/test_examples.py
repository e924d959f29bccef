"""Every example runs, and does what it says."""

import re
import runpy
from pathlib import Path

from tests.tiny import save_tiny_backbone

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_reading_on_equals_reading_at_once():
    assert runpy.run_path(str(EXAMPLES / "02_read_on.py"))["main"]() < 1e-5


def test_classifying_runs(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "01_classify.py"))
    # The tiny backbone has 64 positions and a vocabulary that knows none of the words: this only runs the code.
    example["main"].__globals__["LongDocumentClassifier"] = small(example["LongDocumentClassifier"])
    accuracy = example["main"](save_tiny_backbone(tmp_path), documents=16, epochs=1)
    assert 0.0 <= accuracy <= 1.0
    assert "the decisive sentence was:" in capsys.readouterr().out


def test_few_labels_runs(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "04_few_labels.py"))
    example["main"].__globals__["LongDocumentClassifier"] = small(example["LongDocumentClassifier"])
    accuracy = example["main"](save_tiny_backbone(tmp_path), documents=12, epochs=1, per_library=5)
    assert 0.0 <= accuracy <= 1.0
    assert "on 8 other pages" in capsys.readouterr().out


def test_designs_of_the_same_bytes_hear_differently_far(capsys):
    heard = runpy.run_path(str(EXAMPLES / "03_same_bytes.py"))["main"]()
    assert heard["none"] == heard["windowed"] == 0.0
    assert min(heard["pyramid"], heard["gated"], heard["tokens"]) > 0
    shown = capsys.readouterr().out
    assert "windowed" in shown and "99,864" in shown


def test_questions_are_asked_of_what_was_read(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "05_questions.py"))
    assert example["main"](save_tiny_backbone(tmp_path), stories=12, segment_length=32) > 0
    assert "a question" in capsys.readouterr().out


def test_a_loop_of_ones_own_reads_every_token(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "06_trainer.py"))
    assert 0.0 <= example["main"](save_tiny_backbone(tmp_path), count=12, epochs=1, segment_length=32) <= 1.0
    seen, total = re.search(r"([\d,]+) of ([\d,]+) tokens were read", capsys.readouterr().out).groups()
    assert seen == total


def small(classifier):
    def make(backbone, **options):
        options["model_options"] = {"segment_length": 32}
        return classifier(backbone, **options)

    return make


def test_examples_are_short():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 80, path.name
