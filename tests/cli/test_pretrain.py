import json
import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from memenc import MemencForMaskedLM, MemencForSequenceClassification
from memenc.training.checkpoints import FiniteGradients
from tests.cli.documents import FAST, SMALL, reviews, write_lines


@pytest.fixture(scope="module")
def encoder(backbone, tmp_path_factory):
    """The tiny encoder with a mask token, as language models have."""
    folder = tmp_path_factory.mktemp("with_mask")
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    tokenizer.add_special_tokens({"mask_token": "report"})
    tokenizer.save_pretrained(folder)
    # The head is made up here, and whether so few steps help is a matter of which.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_pretrained(backbone).save_pretrained(folder)
    return folder


def arguments_of(encoder, output, *more):
    steps = ["--documents-per-step", "4", "--save-steps", "3", "--device", "cpu"]
    shares = ["--validation-share", "0.2", "--new-learning-rate", "1e-2", "--learning-rate", "1e-3"]
    return ["--backbone", encoder, "--output", output, *SMALL, "--epochs", "2", *steps, *shares, *more]


@pytest.fixture(scope="module")
def pretrained(memenc, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    rows = [{"text": row["text"]} for row in reviews(16)] + [{"text": ""}]
    path = write_lines(folder / "documents.jsonl", rows)
    said = memenc("pretrain", "--data", path, *arguments_of(encoder, folder / "model"))
    assert "next: memenc train --backbone" in said.err and "perplexity" in said.out
    assert said.err.index("before training: validation loss") < said.err.index("epoch 1.00  validation loss")
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


def test_held_out_documents_are_scored_before_in_every_epoch_and_at_the_end(pretrained):
    results = json.loads((pretrained / "results.json").read_text())
    epochs = [record["eval_loss"] for record in results["records"] if "eval_loss" in record]
    before, after = (results["validation"][name] for name in ("before", "after"))
    assert len(epochs) == 2 and after["loss"] == pytest.approx(min(epochs), rel=1e-5)
    assert after["loss"] < before["loss"] and before["masked_tokens"] == after["masked_tokens"] > 0
    assert before["perplexity"] == pytest.approx(math.exp(before["loss"]))


def test_after_a_kill_it_goes_on_to_the_same_weights(memenc, encoder, tmp_path, monkeypatch):
    path = write_lines(tmp_path / "documents.jsonl", reviews(21))
    whole, killed = (
        ["pretrain", "--data", path, *arguments_of(encoder, tmp_path / name)] for name in ("whole", "killed")
    )
    memenc(*whole)
    with monkeypatch.context() as patch:
        patch.setattr(FiniteGradients, "on_pre_optimizer_step", killed_after(9))
        assert "--resume goes on from the last checkpoint" in memenc(*killed, code=130).err
    kept = sorted(folder.name for folder in (tmp_path / "killed" / "checkpoints").glob("checkpoint-*"))
    assert kept[-1] == "checkpoint-9", "no step of the second epoch, which ends with the tenth"
    assert "add --resume or --overwrite" in memenc(*killed, code=1).err
    assert "mask_share 0.15, this one 0.5" in memenc(*killed, "--resume", "--mask-share", "0.5", code=1).err
    memenc(*killed, "--resume")
    wanted, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert wanted.keys() == resumed.keys() and all(torch.equal(wanted[name], resumed[name]) for name in wanted)
    first, second = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed"))
    assert first["validation"] == second["validation"]
    memenc(*killed, "--overwrite", "--seed", "1")
    other = load_file(tmp_path / "killed" / "model.safetensors")
    assert not all(torch.equal(wanted[name], other[name]) for name in wanted)


def killed_after(step):
    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KeyboardInterrupt

    return on_pre_optimizer_step


def test_a_file_of_its_own_is_held_out(memenc, encoder, lines, tmp_path):
    rows, other = reviews(6), lines([*reviews(3, seed=1), {"text": ""}], "other.jsonl")
    memenc("pretrain", "--data", lines(rows), *arguments_of(encoder, tmp_path / "out", "--validation", other))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["corpus"]["documents"] == 6 and results["validation"]["before"]["loss"] > 0
    nothing = ["--validation", lines([{"text": ""}], "empty.jsonl"), "--overwrite"]
    said = memenc("pretrain", "--data", lines(rows), *arguments_of(encoder, tmp_path / "out", *nothing), code=1).err
    assert "empty.jsonl holds no documents with text" in said


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


def test_warns_of_a_memory_that_contributes_nothing(memenc, encoder, lines, tmp_path, monkeypatch):
    monkeypatch.setattr("memenc.diagnostics.liveness_callback.LOGS_BETWEEN", 1)
    arguments = ["pretrain", "--data", lines(reviews(16)), *arguments_of(encoder, tmp_path, "--overwrite")]
    # One that is alive is read in silence, since warnings are errors here.
    memenc(*arguments, "--memory-option", "initial_bias=0")
    dead = ["--memory-option", "initial_bias=-40", "--gate-learning-rate", "1e-9"]
    with pytest.warns(UserWarning, match="'compressive' memory contributes nothing at step") as caught:
        memenc(*arguments, *dead)
    assert len([warning for warning in caught if "contributes nothing" in str(warning.message)]) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (["--mask-share", "0"], "--mask-share 0.0"),
        (["--adapt", "prefix"], "trains for a task and not for language"),
        (["--validation-share", "1"], "--validation-share 1.0"),
        (["--save-steps", "-1"], "save_steps=-1"),
    ],
)
def test_refuses(options, message, memenc, encoder, lines, tmp_path):
    path = lines([{"text": "word1"}])
    said = memenc("pretrain", "--data", path, "--backbone", encoder, "--output", tmp_path, *SMALL, *options, code=1)
    assert message in said.err
