"""R11 in small: no text makes tokenisation, encoding or classification crash, hang or give what is not finite.

`python -m benchmarks.reliability` reads 10,000.
"""

import random

import pytest
import torch

from benchmarks.reliability.fuzz import KINDS, TEXTS_PER_BATCH, fuzzed_texts, problems_of
from memenc import MemencForSequenceClassification
from tests.backbones import tiny_backbone
from tests.data.tiny_tokenizers import BUILDERS, tiny_tokenizer


def reader(family):
    tokenizer = tiny_tokenizer(family)
    backbone = tiny_backbone("bert", vocab_size=len(tokenizer))
    options = {"window": 16, "slots": 4, "rate": 4}
    model = MemencForSequenceClassification.from_backbone(
        backbone, memory_options=options, segment_length=32, tokenizer=tokenizer, num_labels=3
    )
    return model, tokenizer


@pytest.mark.parametrize("family", BUILDERS)
def test_no_text_is_too_strange(family):
    model, tokenizer = reader(family)
    generator = random.Random(torch.initial_seed())
    texts = list(fuzzed_texts(generator, 2 * TEXTS_PER_BATCH, giants=0))
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        assert not problems_of(model, tokenizer, texts[start : start + TEXTS_PER_BATCH])


def test_every_kind_is_a_text():
    generator = random.Random(torch.initial_seed())
    assert all(isinstance(kind(generator), str) for kind in KINDS for _ in range(20))


def test_what_is_not_finite_is_noticed():
    model, tokenizer = reader("wordpiece")
    with torch.no_grad():
        model.classifier.bias[0] = torch.nan
    assert problems_of(model, tokenizer, ["a text", ""]) == ["logits not finite"]
