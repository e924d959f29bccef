"""Calls that are captured once as a CUDA graph and replayed with other numbers in the same buffers."""

import pytest
import torch

from memenc_kernels import linear_memory
from tests.kernels.compare import EXACT, error, run
from tests.kernels.compare import converted as of_type
from tests.kernels.linear_cases import SIZES, random_inputs
from tests.kernels.streaming import converted, largest_error, next_segment, random_step, step

pytestmark = pytest.mark.gpu


def test_a_captured_step_is_replayed_for_every_segment():
    given = random_step("cuda")
    exact = converted(given, torch.float64)
    # Compiles and loads the kernels, which a capture cannot.
    step(converted(given, torch.float32), "triton")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step(given, "triton")
    for _ in range(3):
        next_segment(given, exact)
        graph.replay()
        wanted = step(exact, "torch")
        assert largest_error(results, given, wanted, exact) <= EXACT


def test_gradients_of_linear_memory_with_cuts_are_captured():
    inputs, options = random_inputs(SIZES["grouped"], device="cuda"), {"cuts": (False, True, False)}
    weights = [torch.randn_like(x) for x in linear_memory(**inputs, **options, implementation="torch")]
    # Compiles and loads the kernels, on a stream of its own as gradients want it before a capture.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run(linear_memory, inputs, options, weights, "triton")
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run(linear_memory, inputs, options, weights, "triton")
    for name, fresh in random_inputs(SIZES["grouped"], device="cuda").items():
        inputs[name].copy_(fresh)
    graph.replay()
    wanted = run(linear_memory, of_type(inputs, torch.float64), options, weights, "torch")
    assert all(error(found[name], result) <= EXACT for name, result in wanted.items())
