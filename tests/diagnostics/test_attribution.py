"""Knocking out what a segment wrote is exactly reading the document as if it had never been written."""

import pytest
import torch
from transformers import AutoTokenizer

from memenc import MemencForSequenceClassification
from memenc.diagnostics.attribution import _logits, _segments, segments_of_passage, without_writes_of
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL, WORDS, save_tiny_backbone


def tiny_model():
    model = MemencForSequenceClassification.from_backbone(
        tiny_backbone("bert"), memory_options={**TINY_MEMORY, "initial_bias": 0.0}, num_labels=3, **TINY_MODEL
    )
    # A readout that starts as the mean would hide what the layers' memories do.
    torch.nn.init.normal_(model.memenc.readout.mixture, std=0.1)
    return model.double().eval()


@torch.no_grad()
def test_without_its_last_segment_a_document_is_its_beginning():
    model = tiny_model()
    ids = torch.randint(5, 50, (1, 16 * 4 + 7))
    segments = _segments(model, ids)
    last = torch.tensor([segments.count - 1])
    knocked_out = _logits(model, without_writes_of(segments, last))
    beginning = _logits(model, _segments(model, ids[:, : 16 * 4]))
    assert (knocked_out - beginning).abs().max() < 1e-6


@torch.no_grad()
def test_without_its_first_segment_a_document_is_its_end():
    model = tiny_model()
    ids = torch.randint(5, 50, (1, 16 * 5))
    knocked_out = _logits(model, without_writes_of(_segments(model, ids), torch.tensor([0])))
    end = _logits(model, _segments(model, ids[:, 16:]))
    assert (knocked_out - end).abs().max() < 1e-6


@torch.no_grad()
def test_each_copy_loses_its_own_segment_only():
    model = tiny_model()
    segments = _segments(model, torch.randint(5, 50, (1, 16 * 6 + 3)))
    together = _logits(model, without_writes_of(segments, torch.arange(segments.count)))
    alone = torch.cat([_logits(model, without_writes_of(segments, torch.tensor([i]))) for i in range(segments.count)])
    whole = _logits(model, segments)
    assert (together - alone).abs().max() < 1e-6
    assert ((together - whole).abs().amax(1) > 1e-6).all()


def test_a_passage_may_lie_across_segments(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_backbone(tmp_path))
    text = " ".join(WORDS)
    for first, last, segments in ((0, 0, [0]), (9, 9, [0]), (10, 10, [1]), (8, 10, [0, 1]), (19, 30, [1, 2, 3])):
        passage = " ".join(WORDS[first : last + 1])
        assert list(segments_of_passage(text, passage, tokenizer, 10)) == segments, (first, last)
    with pytest.raises(ValueError, match="does not hold 'word99'"):
        segments_of_passage(text, "word99", tokenizer, 10)
