"""`memenc probe` on a trained model: its own documents, facts and labels, and what it refuses."""

import json
import shutil

import pytest

from memenc.cli import options, probe
from tests.cli.documents import reviews
from tests.tiny import WORDS

FEW = [
    "--segments",
    "2",
    "--fact-documents",
    "20",
    "--cell-documents",
    "4",
    "--most-facts",
    "1",
    "--drift-segments",
    "2",
]


@pytest.fixture
def documents(lines):
    """Labelled documents of several segments."""
    long = [{**row, "text": f"{row['text']} " + " ".join(WORDS)} for row in reviews(6, seed=3)]
    return lines(long, "documents.jsonl")


@pytest.fixture
def facts(lines):
    """Short texts that the tiny tokenizer can tell apart."""
    texts = {"good": ("excellent", "excellent report"), "bad": ("terrible", "terrible report")}
    rows = [{"text": text, "label": label} for label, said in texts.items() for text in said]
    return lines(rows, "facts.jsonl")


def test_probe_reports_on_documents_of_ones_own(memenc, model, documents, facts, tmp_path):
    arguments = ["--documents", documents, "--label-column", "label", "--facts", facts, "--output", tmp_path / "out"]
    said = memenc("probe", "--model", model, *arguments, *FEW, "--device", "cpu")
    kept = json.loads((tmp_path / "out" / "probe.json").read_text())["probe"]
    assert all(sentence in said.out for sentence in kept["sentences"])
    assert kept["facts"]["reader"] == "the model's own answer" and kept["facts"]["classes"] == ["bad", "good"]
    assert kept["endings"]["documents"] == 6 and kept["contributions"]["texts"]
    assert (tmp_path / "out" / "probe.html").is_file()
    assert (tmp_path / "out" / "retention.png").read_bytes().startswith(b"\x89PNG")


def test_probe_refuses_what_it_cannot_measure(memenc, model, backbone, documents, facts, lines, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("tokenizer*", "checksums.json", "checkpoints"))
    short = lines([{"text": "word1"}], "short.jsonl")
    strange = lines([{"text": " ".join(WORDS), "label": "elephant"}], "strange.jsonl")
    for arguments, message in (
        (["--model", bare], "holds no tokenizer"),
        (["--model", tmp_path / "nowhere"], "there is no folder"),
        (["--model", backbone], "without a memory"),
        (["--model", model, "--documents", short, "--facts", facts], "two segments"),
        (["--model", model, "--documents", strange, "--facts", facts, "--label-column", "label"], "elephant"),
        (["--model", model, "--documents", documents], "same tokens"),
        (["--model", model, "--segments", "1"], "segments=1"),
    ):
        said = memenc("probe", *arguments, "--output", tmp_path / "out", code=1)
        assert message in said.err and not (tmp_path / "out").exists(), said.err


def test_facts_are_read_from_their_own_columns(memenc, model, documents, facts, lines, tmp_path):
    rows = [{"body": json.loads(line)["text"]} for line in documents.read_text().splitlines()]
    renamed = lines(rows, "renamed.jsonl")
    arguments = ["--documents", renamed, "--text-column", "body", "--facts", facts, "--output", tmp_path / "out"]
    memenc("probe", "--model", model, *arguments, *FEW, "--device", "cpu")
    kept = json.loads((tmp_path / "out" / "probe.json").read_text())["probe"]
    assert kept["facts"]["classes"] == ["bad", "good"]


def test_labelled_documents_are_read_to_their_end(model, backbone, lines, monkeypatch):
    monkeypatch.setattr(probe, "SEGMENTS_READ", 2)
    loaded, words = probe.load_model(model), probe.load_tokenizer(model, None)
    path = lines([{"text": " ".join(WORDS * 3), "label": "good"}], "long.jsonl")
    documents = options.DocumentOptions(str(path), text_column="text")
    whole = probe.own_documents(loaded, words, documents, "label")
    first = probe.own_documents(loaded, words, documents, None)
    assert len(whole.ids[0]) == 3 * len(WORDS) and len(first.ids[0]) == 2 * loaded.memenc.own_tokens_per_segment
