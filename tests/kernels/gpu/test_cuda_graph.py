"""A step of streaming inference, captured once as a CUDA graph and replayed with other numbers in the same buffers."""

import pytest
import torch

from tests.kernels.compare import EXACT
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
