"""The verdict says what the numbers can carry, and no more."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from transformers import AutoModel, AutoTokenizer

from memenc import LongDocumentClassifier, MemencModel
from memenc.baselines import BASELINES, WITHOUT_MEMORY
from memenc.baselines.plain import on_plain_backbone
from memenc.baselines.report import Row, compare_with_baselines, verdict
from memenc.baselines.truncate import first_tokens
from memenc.training.adaptation.cost import Cost
from tests.tiny import TINY_MEMORY, TINY_MODEL, save_tiny_backbone


def row(name, right):
    return Row(name, float(np.mean(right)), 0.0, 0.0, None, np.array(right, dtype=bool))


def test_verdicts():
    all_right, half, none_right = [True] * 40, [True, False] * 20, [False] * 40
    assert verdict([row("ours", all_right), row("tf-idf", half)]).startswith("Memory was worth it")
    assert verdict([row("ours", none_right), row("tf-idf", half)]).startswith("Memory was not worth it")
    assert "made no difference" in verdict([row("ours", half), row("tf-idf", half)])
    one_better = [True, True, *half[2:]]
    text = verdict([row("ours", one_better), row("a", half), row("b", none_right)])
    assert "made no difference" in text and "+2.5 points against a" in text and "p = 1" in text


def test_memory_is_judged_beside_none_and_the_model_beside_the_rest():
    class Fixed:
        backbone, memory, classes_ = "some-encoder", "windowed", ["a", "b"]
        cost_ = Cost("full", 10, 10, 1.0, 83.0, None)

        def __init__(self, right):
            self.right = right

        def fit(self, texts, labels):
            return self

        def predict(self, texts):
            return np.array(["a" if right else "b" for right in self.right])

    good, poor = [True] * 190 + [False] * 10, [True, False] * 100
    monkeypatched = {"tf-idf": lambda ours: Fixed(good), WITHOUT_MEMORY: lambda ours: Fixed(poor)}
    with mock.patch.dict(BASELINES, monkeypatched):
        names, training = ["tf-idf", WITHOUT_MEMORY], (["x"], ["a"])
        found = compare_with_baselines(Fixed(good), ["x"] * 200, ["a"] * 200, training, names)
    assert [row.training_seconds for row in found.rows[:1]] == [83] and "83 s" in str(found).splitlines()[1]
    memory, model = found.verdict.split(". ")
    assert memory.startswith("Memory was worth it") and "+45.0 points against without-memory" in memory
    assert model.startswith("This model made no difference") and "against tf-idf" in model


def test_perfect_answers_are_no_certainty():
    truth = np.array(["a"] * 98)
    assert Row.of("ours", truth, truth, None).error == pytest.approx(math.sqrt(0.99 * 0.01 / 98))
    assert Row.of("ours", truth, np.array(["b"] * 98), None).error == pytest.approx(math.sqrt(0.99 * 0.01 / 98))


def test_truncation_keeps_what_the_first_tokens_cover(tmp_path):
    backbone = save_tiny_backbone(tmp_path)
    texts = ["word1  word2 word3 word4", "word1", "", "word5 " * 500]
    assert first_tokens(texts, backbone, tokens=4) == ["word1  word2 ", "word1", "", "word5 word5 "]


@pytest.mark.parametrize("wins", [0, 1, 5])
def test_few_differences_prove_nothing(wins):
    right = np.zeros(100, dtype=bool)
    better = right.copy()
    better[:wins] = True
    assert "made no difference" in verdict([row("ours", better), row("other", right)])


def test_a_backbone_that_came_with_a_memory_is_compared_without_it(tmp_path):
    backbone = save_tiny_backbone(tmp_path / "backbone")
    model = MemencModel.from_backbone(backbone, memory_options=TINY_MEMORY, **TINY_MODEL)
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(backbone).save_pretrained(tmp_path / "model")
    classifier = LongDocumentClassifier(
        str(tmp_path / "model"), memory_options=TINY_MEMORY, model_options={"readout": "max"}
    )
    with on_plain_backbone(classifier) as plain:
        # What the folder says and nobody asked otherwise stays.
        assert plain.model_options["segment_length"] == 16 and plain.model_options["readout"] == "max"
        found = AutoModel.from_pretrained(plain.backbone).state_dict()
        wanted = model.backbone.state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in found.items() if name in wanted)
        assert AutoTokenizer.from_pretrained(plain.backbone)("word1").input_ids
    with on_plain_backbone(clone(classifier).set_params(backbone=backbone)) as same:
        assert same.backbone == backbone


def test_an_instruction_takes_its_place_in_a_truncated_document(tmp_path):
    backbone = save_tiny_backbone(tmp_path)
    text = " ".join(f"word{number}" for number in range(1, 10))
    # Four words beside two special tokens; two words and a separator less with an instruction.
    assert first_tokens([text], backbone, tokens=6) == ["word1 word2 word3 word4 "]
    assert first_tokens([text], backbone, tokens=6, instruction="word7 word8") == ["word1 "]
