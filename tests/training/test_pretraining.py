"""Masked tokens as what is learned: fixed masks, every hidden token alike whatever the parts, exact scores."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer, TrainingArguments

from memenc import MemencForMaskedLM
from memenc.tasks.masked_lm import IGNORED
from memenc.training.documents import TokenizedDocuments
from memenc.training.pretrain import MaskedTokens, PretrainingSettings
from memenc.training.run import scored
from memenc.training.tasks import Examples
from memenc.training.trainer import DocumentTrainer, uncollated
from tests.tasks.test_masked_lm import language_model
from tests.tiny import TINY_MEMORY, TINY_MODEL, save_tiny_backbone

MASK = 6


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_backbone(tmp_path_factory.mktemp("backbone")))
    tokenizer.add_special_tokens({"mask_token": "report"})
    return tokenizer


@pytest.fixture
def objective(tokenizer):
    return MaskedTokens(tokenizer, 0.3)


def documents(*lengths):
    return TokenizedDocuments([np.random.randint(7, 46, length).astype(np.int32) for length in lengths])


def model_of():
    return MemencForMaskedLM.from_backbone(language_model("bert"), memory_options=TINY_MEMORY, **TINY_MODEL).double()


def test_masks_hide_tokens_and_fixed_ones_stay(objective):
    read = documents(400, 1, 90)
    fixed, again, other = objective.fixed(read, 3), objective.fixed(read, 3), objective.fixed(read, 4)
    before = torch.get_rng_state()
    for item, same, ids in zip(fixed, again, read.token_ids, strict=True):
        hidden = item["labels"] != IGNORED
        assert (item["input_ids"][~hidden] == ids[~hidden]).all() and (item["labels"][hidden] == ids[hidden]).all()
        assert (item["input_ids"] == same["input_ids"]).all() and (item["labels"] == same["labels"]).all()
    assert 0.15 < (fixed[0]["labels"] != IGNORED).mean() < 0.45 and (fixed[0]["input_ids"] == MASK).any()
    assert (fixed[0]["labels"] != other[0]["labels"]).any()
    assert torch.equal(before, torch.get_rng_state())
    one, two = (objective.collate(model_of(), [{"input_ids": read.token_ids[0]}])["labels"] for _ in range(2))
    assert not torch.equal(one, two)


def test_scores_are_means_over_hidden_tokens(objective):
    model, examples = model_of().eval(), objective.fixed(documents(60, 3, 1, 25), 0)
    found, total, count = scored(model, objective, examples), 0.0, 0
    for item in examples.items:
        ids, labels = (torch.from_numpy(item[name])[None].long() for name in ("input_ids", "labels"))
        with torch.no_grad():
            logits = model(ids).logits[0]
        total += float(functional.cross_entropy(logits, labels[0], ignore_index=IGNORED, reduction="sum"))
        count += int((labels != IGNORED).sum())
    assert found["masked_tokens"] == count > 0 and found["loss"] == pytest.approx(total / count, rel=1e-4)
    assert found["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-3)


def test_parts_change_no_gradient(objective, tmp_path):
    model, items = model_of(), [*objective.fixed(documents(50, 4, 30, 9, 17, 2), 0).items]
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    found = []
    for tokens in (10**6, 16):
        model.zero_grad()
        settings = PretrainingSettings(tokens_per_batch=tokens).as_training()
        arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
        loss = DocumentTrainer(settings, model, objective, args=arguments).training_step(model, uncollated(items))
        found.append({name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None} | {"": loss})
    whole, small = found
    assert whole.keys() == small.keys()
    # The loss is computed in single precision.
    assert all(torch.allclose(whole[name], small[name], rtol=1e-4, atol=1e-6) for name in whole)
    assert float(whole[""]) == pytest.approx(scored(model, objective, Examples(items))["loss"], rel=1e-4)


def test_a_tokenizer_without_a_mask_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no mask token"):
        MaskedTokens(AutoTokenizer.from_pretrained(save_tiny_backbone(tmp_path)), 0.15)
