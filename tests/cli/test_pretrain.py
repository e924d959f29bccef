import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from memenc import MemencForMaskedLM, MemencForSequenceClassification
from tests.cli.documents import FAST, SMALL, reviews, write_lines


@pytest.fixture(scope="module")
def encoder(backbone, tmp_path_factory):
    """The tiny encoder with a mask token, as language models have."""
    folder = tmp_path_factory.mktemp("with_mask")
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    tokenizer.add_special_tokens({"mask_token": "report"})
    tokenizer.save_pretrained(folder)
    AutoModelForMaskedLM.from_pretrained(backbone).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(memenc, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    rows = [{"text": row["text"]} for row in reviews(16)] + [{"text": ""}]
    path = write_lines(folder / "documents.jsonl", rows)
    said = memenc(
        "pretrain", "--data", path, "--backbone", encoder, "--output", folder / "model", *SMALL, "--epochs", "2"
    )
    assert "next: memenc train --backbone" in said.err
    return folder / "model"


def test_memory_has_learned_and_is_written_down(pretrained, encoder):
    results = json.loads((pretrained / "results.json").read_text())
    assert results["settings"]["mask_share"] == 0.15 and results["adaptation"]["adapt"] == "full"
    assert results["records"][-1]["train_loss"] > 0
    torch.manual_seed(0)
    fresh = MemencForMaskedLM.from_backbone(str(encoder), memory_options={"window": 8, "slots": 4}, segment_length=16)
    before, after = fresh.state_dict(), load_file(pretrained / "model.safetensors")
    for name in ("memenc.encoder.memories.1.slot_bias", "memenc.encoder.memories.1.window_bias"):
        assert not torch.equal(before[name], after[name]), name


def test_training_starts_from_it(pretrained, memenc, lines, tmp_path):
    start = MemencForSequenceClassification.from_backbone(
        str(pretrained), memory_options={"window": 8, "slots": 4}, segment_length=16, num_labels=2
    )
    saved = load_file(pretrained / "model.safetensors")
    own = {name: value for name, value in start.state_dict().items() if name.startswith("memenc.")}
    assert len(own) > 20 and all(torch.equal(saved[name], value) for name, value in own.items())
    arguments = ["--train", lines(reviews(12)), "--backbone", pretrained, "--output", tmp_path / "out"]
    memenc("train", *arguments, *SMALL, *FAST)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
    refused = memenc("train", *arguments, "--overwrite", "--memory", "windowed", *FAST, code=1).err
    assert "was trained with memory='compressive' (asked for: 'windowed')" in refused


@pytest.mark.parametrize(
    "options, message",
    [(["--mask-share", "0"], "--mask-share 0.0"), (["--adapt", "prefix"], "trains for a task and not for language")],
)
def test_refuses(options, message, memenc, encoder, lines, tmp_path):
    path = lines([{"text": "word1"}])
    said = memenc("pretrain", "--data", path, "--backbone", encoder, "--output", tmp_path, *SMALL, *options, code=1)
    assert message in said.err
