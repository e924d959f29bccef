"""Summaries start at one share of what a segment sees, however many there are, each document by its own number."""

import pytest
import torch

from memenc import MemoryState
from memenc.backbones.row import LayerCall, Row
from memenc.memory.base import START_SHARE
from tests.backbones import SEGMENT
from tests.memory.checks import CAPACITY, assert_close, build, tokens
from tests.memory.designs import Design

SUMMARIES = 2
UNBOUNDED = Design("summary", {"tokens": SUMMARIES}, None)


@pytest.mark.parametrize("segments", [0, 1, 7, 40])
@torch.no_grad()
def test_all_summaries_share_what_one_segment_leaves(segments):
    model = build(UNBOUNDED, lively=False, dtype=torch.float64)
    state = model(tokens(1, max(1, segments * CAPACITY))).memory.tensors
    standing = model.encoder.row_tokens.stand({name: state[f"top.{name}"] for name in ("tokens", "filled")})
    assert standing.valid.sum() == (segments + 1) * SUMMARIES
    row = Row(standing.before.shape[1], SUMMARIES, standing.valid, SEGMENT, 1, standing.weight)
    # Queries of zeros look at everything alike, by the bias alone.
    nothing = torch.zeros(1, 4, standing.count, 8, dtype=torch.float64)
    call = LayerCall(nothing, nothing, nothing, None, 0.0, False, None)
    (found,) = row.looked_up(call, call, model.encoder.layer_memories[0].row_bias())
    assert (found.log_weight.exp() - START_SHARE * SEGMENT).abs().max() < 1e-6


@torch.no_grad()
def test_what_is_looked_up_is_one_softmax_with_the_segment():
    model = build(UNBOUNDED, dtype=torch.float64)
    ids = tokens(2, 5 * CAPACITY)
    found = model(ids).last_hidden_state
    # As long as all documents hold as many summaries, a bias of the line says the same.
    stand, bare = model.encoder.row_tokens.stand, model.encoder.layer_memories
    starts = [memory.token_bias.clone() for memory in bare]

    def without_weight(top):
        standing = stand(top)
        for memory, start in zip(bare, starts, strict=True):
            memory.token_bias.copy_(start + standing.weight[0])
        return type(standing)(standing.before, standing.after, standing.valid)

    model.encoder.row_tokens.stand = without_weight
    assert_close(model(ids).last_hidden_state, found, 1e-12, "token states")


@torch.no_grad()
def test_documents_that_hold_different_numbers_are_read_side_by_side():
    model = build(UNBOUNDED, dtype=torch.float64)
    earlier = [model(tokens(1, segments * CAPACITY)).memory for segments in (1, 9)]
    together = MemoryState.cat([MemoryState.cat([state]) for state in earlier])
    ids = tokens(2, 3 * CAPACITY)
    alone = torch.cat([model(ids[row, None], memory=earlier[row]).last_hidden_state for row in range(2)])
    assert_close(model(ids, memory=together).last_hidden_state, alone, 1e-12, "token states")


@torch.no_grad()
def test_many_summaries_disturb_hardly_more_than_a_few():
    model, plain = (build(design, lively=False) for design in (UNBOUNDED, "none"))
    plain.encoder.backbone.load_state_dict(model.encoder.backbone.state_dict())
    # By one model each way: 1.4 times as much, by chance hardly 2.5; without the smaller share of many 4.
    ids = tokens(8, 24 * CAPACITY)
    difference = (model(ids).last_hidden_state - plain(ids).last_hidden_state).unflatten(1, (24, CAPACITY))
    sizes = difference.norm(dim=(2, 3)).mean(0)
    assert 0 < sizes[16:].mean() < 3 * sizes[1:4].mean()
