"""R1, R2, R3, R13: at a constant call shape nothing but a document's own tokens moves a bit, in half precision too.

Constant call shape: the same number of documents in a call, of segments in a backbone call, and one segment's length.
`segments_per_call=1`, full-width segments and batches of a fixed size give it; what it costs is the padding.
"""

import random

import pytest
import torch

from tests.memory.checks import (
    CAPACITY,
    assert_states_equal,
    build,
    check_any_batch_is_the_same,
    documents_of,
    ragged,
    tokens,
)
from tests.memory.designs import DESIGNS

constant_size = [name for name, row in DESIGNS.items() if row.constant_size]
every_design = pytest.mark.parametrize("design", constant_size)
every_precision = pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16), ids=str)
BATCH = 3


@every_design
@every_precision
def test_a_document_is_itself_to_the_bit_in_any_batch(design, dtype):
    document = tokens(2 * CAPACITY + random.randrange(1, CAPACITY))
    check_any_batch_is_the_same(build(design, dtype=dtype), document, BATCH)


@every_design
@every_precision
@torch.no_grad()
def test_equal_documents_of_a_batch_stay_equal_to_the_bit(design, dtype):
    model, batch = build(design, dtype=dtype), random.choice((3, 5, 7))
    output = model(tokens(2 * CAPACITY + random.randrange(1, CAPACITY)).repeat(batch, 1))
    for name, tensor in {**output.memory.tensors, "pooler_output": output.pooler_output}.items():
        assert torch.equal(tensor, tensor[:1].expand_as(tensor)), f"{name} differs within a batch of {batch}"


@every_design
@every_precision
@torch.no_grad()
def test_pieces_of_whole_segments_are_the_whole_to_the_bit(design, dtype):
    model, ids = build(design, dtype=dtype), tokens(BATCH, 6 * CAPACITY)
    memory = None
    for piece in ids.split([CAPACITY * count for count in random.choice([(1, 2, 3), (3, 1, 2), (2, 3, 1)])], dim=1):
        output = model(piece, memory=memory)
        memory = output.memory
    whole = model(ids)
    assert_states_equal(memory, whole.memory)
    assert torch.equal(output.pooler_output, whole.pooler_output)


NAN_ID, INFINITE_ID, HARMLESS_ID = 58, 59, 10


def read_with_gradients(model, ids, mask, documents):
    """Output, and per backbone call ids and gradient of the embedded tokens of what the first documents say."""
    embedded = []

    def remember(module, inputs, output):
        embedded.append((inputs[0], output.detach().requires_grad_()))
        return embedded[-1][1]

    hook = model.get_input_embeddings().register_forward_hook(remember)
    output = model(ids, mask)
    hook.remove()
    said = output.pooler_output[:documents].square().sum() + output.last_hidden_state[:documents].square().sum()
    found = torch.autograd.grad(said, [states for _, states in embedded])
    return output, [(read, gradient) for (read, _), gradient in zip(embedded, found, strict=True)]


def plain(documents):
    """Documents without the ids that are to be poisoned."""
    return [torch.where(document >= NAN_ID, HARMLESS_ID, document) for document in documents]


@every_design
@pytest.mark.parametrize("poison", (NAN_ID, INFINITE_ID), ids=("nan", "infinite"))
def test_what_is_not_finite_stays_in_its_document(design, poison):
    model = build(design)
    with torch.no_grad():
        model.get_input_embeddings().weight[poison] = torch.nan if poison == NAN_ID else torch.inf
    *healthy, sick = plain(documents_of(3 * CAPACITY + 2, CAPACITY, 2 * CAPACITY + 5))
    poisoned = sick.clone()
    poisoned[random.randrange(len(sick))] = poison
    well, ill = (
        read_with_gradients(model, *ragged([*healthy, last], 4 * CAPACITY), documents=2) for last in (sick, poisoned)
    )
    assert not ill[0].pooler_output[2].isfinite().all(), "the poison was not read"
    assert torch.equal(ill[0].pooler_output[:2], well[0].pooler_output[:2])
    assert torch.equal(ill[0].last_hidden_state[:2], well[0].last_hidden_state[:2])
    assert_states_equal(ill[0].memory.select([0, 1]), well[0].memory.select([0, 1]))
    for (_, got), (_, wanted) in zip(ill[1], well[1], strict=True):
        # One segment of every document is read at a time, so rows are documents.
        assert torch.equal(got[:2], wanted[:2]) and wanted[:2].isfinite().all()
