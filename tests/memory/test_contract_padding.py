"""The contract of every memory design: padding, whatever stands in it, is nothing."""

from dataclasses import replace

import pytest
import torch

from memenc.memory.parts.scan import after_line
from tests.memory.checks import (
    CAPACITY,
    OTHER_SHAPE,
    SPECIAL,
    assert_close,
    assert_states_close,
    build,
    check_nan_in_padding_stays_there,
    check_padding_is_nothing,
    documents_of,
    ragged,
    tokens,
)
from tests.memory.designs import DESIGNS

every_design = pytest.mark.parametrize("design", DESIGNS)


@every_design
def test_padding_is_nothing(design):
    for length in (2 * CAPACITY + 3, CAPACITY, CAPACITY + 1):
        others, constant = documents_of(4 * CAPACITY + 2, 3 * CAPACITY, 0), DESIGNS[design].constant_size
        check_padding_is_nothing(build(design), tokens(length), others, constant_shape=constant)


@torch.no_grad()
def test_a_short_document_is_itself_among_long_ones():
    model = build("compressive_mean")
    document = tokens(CAPACITY // 2)
    alone = model(document[None])
    for width in (CAPACITY - 1, 5 * CAPACITY):
        output = model(*ragged([document, tokens(width), tokens(0)]))
        assert_close(output.pooler_output[:1], alone.pooler_output, OTHER_SHAPE, "pooler_output")
        assert_states_close(output.memory.select([0]), alone.memory, OTHER_SHAPE)


def all_written(line, plan):
    every = replace(plan, complete=torch.ones_like(plan.complete), written=("all",) * len(plan.written))
    return after_line(line, every)


PADDING_WRITES = {
    "average_weighted": ("memenc.memory.parts.scan.keep_where", lambda written, after, before: after),
    "windowed_one_segment": ("memenc.memory.windowed.after_line", all_written),
}


@pytest.mark.parametrize("design", PADDING_WRITES)
def test_padding_that_writes_is_noticed(design, monkeypatch):
    monkeypatch.setattr(*PADDING_WRITES[design])
    with pytest.raises(AssertionError, match="bit-identical"):
        check_padding_is_nothing(build(design), tokens(CAPACITY + 1), documents_of(4 * CAPACITY))


@every_design
def test_nan_in_padding_stays_there(design):
    ids, mask = ragged(documents_of(3 * CAPACITY + 2, CAPACITY, 5, 0), pad="interior")
    check_nan_in_padding_stays_there(build(design), ids, mask)


@every_design
def test_nan_in_padding_reaches_no_gradient(design):
    model = build(design)
    ids, mask = ragged(documents_of(3 * CAPACITY + 2, CAPACITY, 5), pad="interior")
    wanted = gradients_of_sum(model, ids, mask)
    with torch.no_grad():
        model.get_input_embeddings().weight[SPECIAL["padding"]] = torch.nan
    found = gradients_of_sum(model, torch.where(mask.bool(), ids, SPECIAL["padding"]), mask)
    assert wanted.keys() == found.keys() and max(x.abs().max() for x in found.values()) > 0
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def gradients_of_sum(model, ids, mask):
    model.zero_grad()
    model(ids, mask).pooler_output.square().sum().backward()
    return {name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None}
