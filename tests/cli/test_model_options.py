"""Fields of the configuration that have no option of their own, through the commands that make models."""

import json

import numpy
import pytest
import torch
from transformers import AutoTokenizer

from memenc import LongDocumentClassifier, MemencConfig, MemencModel
from memenc.cli.key_values import DECIDED_BY, MODEL_OPTIONS
from tests.cli.documents import FAST, SMALL, reviews
from tests.tiny import save_tiny_backbone

ASKED = {
    "memory_layers": [0],
    "bptt_segments": 2,
    "readout_layers": [-2, -1],
    "document_queries": 3,
    "document_temperature": "hard",
    "attention_dropout": None,
    "classifier_dropout": 0,
    "segments_per_call": "auto",
}


def given(options):
    """As it is written on the command line: text without quotation marks."""
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return [part for name, value in written.items() for part in ("--model-option", f"{name}={value}")]


@pytest.fixture
def train(memenc, backbone, lines, tmp_path):
    def run(*more, code=0, start=backbone):
        common = ["--train", lines(reviews(12)), "--backbone", start, "--output", tmp_path / "out"]
        return memenc("train", *common, *SMALL, *FAST, *more, code=code)

    return run


def test_every_field_is_given_or_decided_elsewhere():
    inherited = {"num_labels", "id2label", "label2id", "problem_type"}
    own = set(MemencConfig.__annotations__) - {"model_type", "keys_to_ignore_at_inference"}
    assert sorted([*MODEL_OPTIONS, *DECIDED_BY]) == sorted(own | inherited)


def test_a_model_is_made_with_them_and_says_so(train, tmp_path):
    train(*given(ASKED))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {name: config[name] for name in ASKED} == ASKED
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    kept = json.loads((tmp_path / "out" / "memenc_estimator.json").read_text())
    wanted = {"segment_length": 16, "readout": "memory", **ASKED}
    assert results["parameters"]["model_options"] == kept["parameters"]["model_options"] == wanted
    classifier = LongDocumentClassifier.from_pretrained(tmp_path / "out")
    assert classifier.model_options == wanted and classifier.model_.memenc.config.layers_with_memory() == [0]


def test_adapting_goes_with_them(train, tmp_path):
    said = train("--adapt", "prefix", *given({"learned_start": False}), code=1).err
    assert "adapt='prefix' needs learned_start=True, received False" in said
    train("--adapt", "prefix", *given({"memory_layers": "all"}))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["memory_layers"] == "all" and config["learned_start"] is True


def test_pre_training_and_what_goes_on_from_it(memenc, train, backbone, lines, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_backbone(tmp_path / "masked"))
    tokenizer.add_special_tokens({"mask_token": "report"})
    tokenizer.save_pretrained(tmp_path / "masked")
    asked = given({"memory_layers": [0], "bptt_segments": 1})
    start = ["--backbone", tmp_path / "masked", "--output", tmp_path / "pretrained", "--validation-share", "0"]
    memenc("pretrain", "--data", lines(reviews(4)), *start, *SMALL, *FAST, *asked)
    results = json.loads((tmp_path / "pretrained" / "results.json").read_text())
    assert results["model"]["model_option"] == ["memory_layers=[0]", "bptt_segments=1"]
    refused = train(*given({"memory_layers": [1]}), start=tmp_path / "pretrained", code=1).err
    assert "was trained with memory_layers=[0] (asked for: [1])" in refused
    for wrong in ({"bptt_segments": 0}, {"learned_start": "yes"}):
        refused = train(*given(wrong), start=tmp_path / "pretrained", code=1).err
        assert f"{next(iter(wrong))}={next(iter(wrong.values()))!r}: give " in refused
    # How far gradient reaches is no matter of the weights.
    train(*given({"bptt_segments": 3}), start=tmp_path / "pretrained")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["bptt_segments"] == 3 and config["memory_layers"] == [0]


def test_a_plain_encoder_reads_with_them(memenc, backbone, lines, tmp_path):
    rows, options = reviews(3), {"document_queries": 2, "memory_layers": [0]}
    common = ["--model", backbone, "--data", lines(rows), "--device", "cpu", *SMALL]
    memenc("encode", *common, "--output", tmp_path / "vectors.npz", *given(options))
    torch.manual_seed(0)
    memory = {"window": 8, "slots": 4}
    model = MemencModel.from_backbone(backbone, memory_options=memory, segment_length=16, **options)
    expected = model.encode([row["text"] for row in rows], AutoTokenizer.from_pretrained(backbone))
    numpy.testing.assert_allclose(numpy.load(tmp_path / "vectors.npz")["vectors"], expected.numpy(), atol=1e-5)


BAD = {
    "unknown": ("depth=3", f"--model-option depth: there is no such field; there are: {', '.join(MODEL_OPTIONS)}"),
    "option of its own": ("segment_length=8", "--model-option segment_length: decided by --segment-length"),
    "instruction": ("instruction=read", "decided by --instruction of memenc train"),
    "of the tokenizer": ("special_tokens={}", "--model-option special_tokens: decided by the tokenizer"),
    "of the task": ("num_labels=3", "decided by the labels of the records"),
    "private": ("architectures=[]", "there is no such field"),
    "without value": ("memory_layers", "--model-option 'memory_layers': write key=value, such as memory_layers=[2,3]"),
    "no such layer": ("memory_layers=[2]", "memory_layers has [2], but the backbone has layers 0 to 1"),
    "layers of two kinds": ('memory_layers=["a", 7]', 'memory_layers=[\'a\', 7]: give "auto", "all"'),
    "layers in layers": ("memory_layers=[[1]]", "memory_layers=[[1]]: give"),
    "layers without brackets": ("memory_layers=0,1", "memory_layers='0,1': give"),
    "one layer to read": ("readout_layers=-1", "readout_layers=-1: give a list of layer numbers, such as [-2, -1]"),
    "half a query": ("document_queries=1.5", "document_queries=1.5: give a whole number"),
    "queries in words": ("document_queries=many", "document_queries='many': give a whole number"),
    "yes as a horizon": ("bptt_segments=true", "bptt_segments=True: give a whole number"),
    "Python's truth": ("learned_start=True", "learned_start='True': give true or false"),
    "everything dropped": ("attention_dropout=1", "attention_dropout=1: give a share of at least 0 and below 1"),
    "no number": ("attention_dropout=NaN", "attention_dropout=nan: give a share"),
    "nothing dropped": ("classifier_dropout=null", "classifier_dropout=None: give a share"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_ones_are_one_line(train, name):
    option, message = BAD[name]
    said = train("--model-option", option, code=1).err
    assert message in said
    assert [line for line in said.splitlines() if line.startswith("error: ")] == said.splitlines()


def test_one_is_given_once(train):
    said = train(*given({"bptt_segments": 3}), *given({"bptt_segments": 4}), code=1).err
    assert "--model-option bptt_segments is given twice" in said
