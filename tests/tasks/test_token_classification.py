"""The token classification head."""

import pytest
import torch
from torch.nn import functional

from memenc import MemencForTokenClassification
from memenc.tasks.token_classification import IGNORED
from tests.memory.checks import CAPACITY, assert_close, build, documents_of, ragged, tokens

LABELS = 3


def tagger(design="windowed_one_segment", **options):
    options = {"num_labels": LABELS, "dtype": torch.float64, **options}
    return build(design, model_class=MemencForTokenClassification, **options)


def test_logits_are_linear_in_the_token_states():
    model = tagger()
    ids, mask = ragged(documents_of(3 * CAPACITY + 1, 5, 0), pad="interior")
    states = model.memenc(ids, mask).last_hidden_state
    output = model(ids, mask)
    assert output.loss is None and output.logits.shape == (*ids.shape, LABELS)
    assert_close(output.logits, functional.linear(states, model.classifier.weight, model.classifier.bias), 1e-12)


def test_the_loss_is_the_mean_over_labelled_tokens():
    model, ids = tagger(classifier_dropout=0.0).train(), tokens(2, 50)
    labels = torch.randint(LABELS, (2, 50)).masked_fill(torch.rand(2, 50) < 0.5, IGNORED)
    output = model(ids, labels=labels)
    wanted = functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    assert_close(output.loss, wanted, 1e-12, "loss")
    output.loss.backward()
    assert model.memenc.encoder.memories[0].window_bias.grad.abs().max() > 0
    assert model(ids, labels=torch.full_like(ids, IGNORED)).loss == 0.0


@torch.no_grad()
def test_pieces_of_whole_segments_give_the_logits_of_the_whole():
    model, ids = tagger("compressive_mean"), tokens(2, 70)
    memory, found = None, []
    for piece in ids.split(2 * CAPACITY, 1):
        output = model(piece, memory=memory)
        memory = output.memory
        found.append(output.logits)
    assert_close(torch.cat(found, 1), model(ids).logits, 1e-12, "logits")


def test_labels_that_do_not_fit_are_refused():
    model, ids = tagger(), tokens(2, 20)
    with pytest.raises(ValueError, match="one per token"):
        model(ids, labels=torch.zeros(2, 19, dtype=torch.long))
    with pytest.raises(ValueError, match="labels run from 0 to 3, the head has 3"):
        model(ids, labels=torch.full_like(ids, 0).index_fill(1, torch.tensor([4]), 3))
    with pytest.raises(ValueError, match="takes no position_ids"):
        model(ids, position_ids=ids)


@torch.no_grad()
def test_saved_and_loaded(tmp_path):
    model, ids = tagger(dtype=torch.float32), tokens(2, 30)
    model.save_pretrained(tmp_path)
    assert torch.equal(MemencForTokenClassification.from_pretrained(tmp_path)(ids).logits, model(ids).logits)
