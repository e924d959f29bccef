"""torch.compile over a whole model: the same numbers and gradients, in a few large graphs."""

import pytest
import torch

from tests.memory.checks import CAPACITY, assert_close, assert_gradients_close, build, documents_of, gradients, ragged


@pytest.fixture(autouse=True)
def forgotten():
    """What was compiled for one test is nothing to the next."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


# Cutting into segments asks for lengths, which ends a graph; the encoder is one of its own.
GRAPHS = 6


# Torch looks at the gradient of everything it meets.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("design", ("average_unweighted", "associative"))
def test_a_compiled_model_reads_and_learns_the_same(design):
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model = build(design, dtype=torch.float64, segments_per_call=100).train()
    compiled = torch.compile(model, backend=counting)
    ids, mask = ragged(documents_of(2 * CAPACITY + 3, CAPACITY))
    wanted, found = model(ids, mask), compiled(ids, mask)
    assert len(graphs) <= GRAPHS
    assert_close(found.last_hidden_state, wanted.last_hidden_state, 1e-12, "last_hidden_state")
    assert_close(found.pooler_output, wanted.pooler_output, 1e-12, "pooler_output")
    left = gradients(model, found)
    assert_gradients_close(left, gradients(model, wanted), 1e-11)
