"""The state as a value: whose it is, and its arithmetic over documents."""

import pytest
import torch

from memenc import MemoryState
from tests.memory.checks import (
    CAPACITY,
    assert_states_equal,
    build,
    check_reading_leaves_the_old_state,
    documents_of,
    feed,
    ragged,
    tokens,
)


def test_a_model_refuses_the_state_of_another():
    model, ids = build(), tokens(2, 20)
    memory = model(ids).memory
    for other in (
        build("windowed_one_segment"),
        build(segment_length=32),
        build(document_queries=3),
        build(kind="gte"),
    ):
        with pytest.raises(ValueError, match=memory.fingerprint):
            other(ids, memory=memory)
    with pytest.raises(ValueError, match="memory holds 2 documents, input_ids 3"):
        model(tokens(3, 5), memory=memory)


@torch.no_grad()
def test_documents_are_selected_repeated_and_joined():
    model = build("compressive_convolution")
    documents = documents_of(3 * CAPACITY + 2, 5, 2 * CAPACITY)
    memory = model(*ragged(documents)).memory
    assert len(memory) == 3 and len(memory.select([])) == 0
    assert_states_equal(memory.select([0, 1, 2]), memory)
    assert_states_equal(memory.select(torch.tensor([-1])), memory.select([2]))
    assert_states_equal(MemoryState.cat([memory.select([2]), memory.select([0, 1])]), memory.select([2, 0, 1]))
    assert_states_equal(memory.fork(2), memory.select([0, 0, 1, 1, 2, 2]))
    assert_states_equal(memory.to("cpu"), memory)
    for wrong in ([3], [-4]):
        with pytest.raises(ValueError, match=str(wrong[0])):
            memory.select(wrong)
    with pytest.raises(ValueError, match="0"):
        memory.fork(0)
    with pytest.raises(ValueError, match="no states"):
        MemoryState.cat([])
    with pytest.raises(ValueError, match="different models"):
        MemoryState.cat([memory, build("none").initial_memory(1)])


def test_a_mask_selects_what_it_marks():
    memory = build().initial_memory(3)
    memory.tensors["document.tokens"][:] = torch.arange(3)
    for mask in ([False, True, True], torch.tensor([False, True, True])):
        selected = memory.select(mask)
        assert selected.tensors["document.tokens"].tolist() == [1, 2]
        assert_states_equal(selected, memory.select([1, 2]))
    with pytest.raises(ValueError, match=r"a mask of shape \(2,\) for 3 documents"):
        memory.select([True, False])


@torch.no_grad()
def test_a_selected_state_reads_on():
    model = build("compressive_mean")
    documents, more = documents_of(3 * CAPACITY + 2, 5), tokens(2, 17)
    memory = model(*ragged(documents)).memory
    together = model(more, memory=memory)
    swapped = model(more[[1, 0]], memory=memory.select([1, 0]))
    assert torch.equal(swapped.pooler_output, together.pooler_output[[1, 0]])
    forked = model(more[[0, 0]], memory=memory.select([0]).fork(2))
    assert torch.equal(forked.pooler_output[0], forked.pooler_output[1])
    _, again = feed(model, [[documents[0], more[0]], [documents[1], more[1]]])
    assert_states_equal(again, together.memory)


def test_detaching_cuts_the_gradient():
    model = build().train()
    memory = model(tokens(1, 2 * CAPACITY)).memory
    assert memory.tensors["layers.0.keys"].requires_grad
    detached = memory.detach()
    assert not any(tensor.requires_grad for tensor in detached.tensors.values())
    assert memory.tensors["layers.0.keys"].requires_grad


def test_reading_leaves_the_old_state_as_it_was():
    check_reading_leaves_the_old_state(build("average_weighted"))
