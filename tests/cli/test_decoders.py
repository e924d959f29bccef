"""Decoders fine-tuned as encoders, with tokenizers of decoders: no [CLS], no [SEP], perhaps nothing to pad with."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast, pipeline

from memenc import LongDocumentClassifier, MemencModel
from tests.backbones import tiny_config
from tests.cli.documents import FAST, SMALL, reviews, write_lines
from tests.cli.task_records import KINDS
from tests.tiny import BAD, GOOD, WORDS

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
LEARNING = ["--epochs", "10", "--learning-rate", "3e-3", "--new-learning-rate", "1e-2", "--validation-share", "0"]
# What each puts before a text: the first token as Llama's tokenizer does, or nothing as Qwen's.
BEFORE = {"llama": [0], "qwen3": []}


def save_decoder(folder, kind):
    """Write a tiny random decoder and a tokenizer of bytes and their pairs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=[BEGIN, END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([f" {word}" for word in (GOOD, BAD, "report", *WORDS)], trainer)
    names = {"eos_token": END, "pad_token": END}
    if BEFORE[kind]:
        around = [(BEGIN, tokenizer.token_to_id(BEGIN))]
        pair = f"{BEGIN} $A {BEGIN} $B:1"
        tokenizer.post_processor = processors.TemplateProcessing(f"{BEGIN} $A", pair, special_tokens=around)
        names = {"bos_token": BEGIN, "eos_token": END}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names)
    fast.save_pretrained(folder)
    # As Llama has it, the configuration knows no padding token either.
    config = tiny_config(kind, vocab_size=len(fast), pad_token_id=None, bos_token_id=0, eos_token_id=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """Folder of a tiny decoder of a kind, made once."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = save_decoder(tmp_path_factory.mktemp("decoder"), kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def fine_tuned(memenc, decoder, tmp_path_factory):
    """Folder of a classifier on a decoder, trained until it has learned something."""
    made = {}

    def folder(kind):
        if kind not in made:
            place = tmp_path_factory.mktemp("fine_tuned")
            path = write_lines(place / "train.jsonl", reviews(24))
            common = ["--train", path, "--backbone", decoder(kind), "--output", place / "model", *SMALL, *FAST]
            memenc("train", *common, *LEARNING)
            made[kind] = place / "model"
        return made[kind]

    return folder


@pytest.mark.parametrize("kind", BEFORE)
def test_every_layer_learns(fine_tuned, decoder, kind):
    folder = fine_tuned(kind)
    config = json.loads((folder / "config.json").read_text())
    assert config["special_tokens"]["prefix"] == BEFORE[kind] and config["special_tokens"]["suffix"] == []
    before, after = load_file(decoder(kind) / "model.safetensors"), load_file(folder / "model.safetensors")
    moved = {name: not torch.equal(value, after[f"memenc.encoder.backbone.{name}"]) for name, value in before.items()}
    assert all(moved.values()), [name for name in moved if not moved[name]]
    losses = [row["loss"] for row in json.loads((folder / "results.json").read_text())["records"] if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("kind", BEFORE)
def test_predictions_are_scored_and_do_not_depend_on_neighbours(memenc, fine_tuned, lines, tmp_path, kind):
    folder, rows = fine_tuned(kind), [*reviews(7, seed=1), {"id": "empty", "text": "", "label": "bad"}]
    found = memenc("predict", "--model", folder, "--data", lines(rows)).lines
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = [len(tokenizer(row["text"], add_special_tokens=False)["input_ids"]) for row in rows]
    assert [line["tokens_seen"] for line in found] == own and max(own) > 4 * 15
    for row, line in zip(rows, found, strict=True):
        (alone,) = memenc("predict", "--model", folder, "--data", lines([row], "one.jsonl")).lines
        assert alone["probabilities"] == pytest.approx(line["probabilities"], abs=1e-4)
    memenc("evaluate", "--model", folder, "--data", lines(rows), "--output", tmp_path / "scores.json")
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["records"]
    assert scores["accuracy"] == np.mean([line["label"] == row["label"] for line, row in zip(found, rows, strict=True)])
    assert scores["tokens"] == sum(own)


@pytest.mark.parametrize("kind", BEFORE)
def test_others_pad_what_they_read_at_a_time(fine_tuned, decoder, kind):
    folder, texts = fine_tuned(kind), [row["text"] for row in reviews(5, seed=2)]
    plain, saved = AutoTokenizer.from_pretrained(decoder(kind)), AutoTokenizer.from_pretrained(folder)
    assert saved.pad_token == END and saved.padding_side == "left"
    assert saved(texts)["input_ids"] == plain(texts)["input_ids"]
    wanted = LongDocumentClassifier.from_pretrained(folder).predict_proba(texts)
    answers = pipeline("text-classification", model=str(folder), device="cpu")(texts, batch_size=5, top_k=None)
    for answer, shares in zip(answers, wanted.tolist(), strict=True):
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(
            dict(zip(["bad", "good"], shares, strict=True)), abs=1e-4
        )
    sentence_transformers = pytest.importorskip("sentence_transformers")
    vectors = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
    expected = MemencModel.from_pretrained(folder).encode(texts, saved)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("task", ("question-answering", "token-classification", "pair-classification"))
@pytest.mark.parametrize("kind", BEFORE)
def test_other_tasks_are_trained_predicted_and_scored(memenc, decoder, lines, tmp_path, kind, task):
    rows, options = KINDS[task]
    common = ["--train", lines(rows(12)), "--backbone", decoder(kind), "--output", tmp_path / "out"]
    memenc("train", *common, "--task", task, *options, *SMALL, *FAST)
    test = ["--model", tmp_path / "out", "--data", lines(rows(5, seed=1), "test.jsonl")]
    assert {line["line"] for line in memenc("predict", *test).lines} == {1, 2, 3, 4, 5}
    memenc("evaluate", *test, "--output", tmp_path / "scores.json")
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["records"]
    assert scores["documents"] == 5 and 0 <= scores.get("accuracy", scores.get("exact_match")) <= 100


@pytest.mark.parametrize("way", ("lora", "frozen", "prefix"))
def test_adapting_moves_what_it_says(memenc, decoder, lines, tmp_path, way):
    if way == "lora":
        pytest.importorskip("peft")
    common = ["--train", lines(reviews(12)), "--backbone", decoder("llama"), "--output", tmp_path / "out"]
    memenc("train", *common, "--adapt", way, *SMALL, *FAST)
    before, after = load_file(decoder("llama") / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    moved = {name for name, value in before.items() if not torch.equal(value, after[f"memenc.encoder.backbone.{name}"])}
    assert bool(moved) == (way == "lora") and not any("embed" in name or "norm" in name for name in moved)
