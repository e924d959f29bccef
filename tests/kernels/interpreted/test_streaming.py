"""A step of streaming inference, and that nothing in it waits for the device: what a CUDA graph needs."""

import pytest
import torch

from memenc_kernels import compress, gated_update, linear_memory
from tests.kernels import compression_cases, gated_cases, linear_cases, pooling_cases
from tests.kernels.compare import EXACT, astuple, run
from tests.kernels.guards import nothing_waits
from tests.kernels.lines import CASES, OPTIONS, everything, problem, random_weights
from tests.kernels.lines import converted as changed
from tests.kernels.streaming import converted, largest_error, next_segment, random_step, step


def test_steps_in_the_same_buffers():
    given = random_step()
    exact = converted(given, torch.float64)
    for _ in range(3):
        next_segment(given, exact)
        results, wanted = step(given, "triton"), step(exact, "torch")
        assert largest_error(results, given, wanted, exact) <= EXACT


def test_waiting_is_noticed():
    with pytest.raises(RuntimeError, match="waits for the device"), nothing_waits():
        assert torch.ones(1) > 0
    with pytest.raises(RuntimeError, match="waits for the device"), nothing_waits():
        torch.tensor([True])


def test_a_step_does_not_wait():
    given = random_step()
    with nothing_waits() as started:
        step(given, "triton")
    assert {"forward_kernel", "look_up_kernel", "append_kernel"} <= set(started)


@pytest.mark.parametrize("option", OPTIONS)
def test_attention_does_not_wait(option):
    arguments = changed(problem(CASES["two lines"]), torch.Tensor.requires_grad_)
    weights = random_weights(arguments)
    with nothing_waits() as started:
        everything(arguments, OPTIONS[option], weights, "triton")
    assert started == ["ranges_kernel", "forward_kernel", "queries_kernel", "tokens_kernel", *["entries_kernel"] * 2]


FUNCTIONS = {
    "linear_memory": lambda: (linear_memory, linear_cases.random_inputs(linear_cases.SIZES["grouped"]), {}),
    "linear_memory with cuts": lambda: (
        linear_memory,
        linear_cases.random_inputs(linear_cases.SIZES["grouped"]),
        {"cuts": (False, True, False)},
    ),
    "document_pooling": lambda: (pooling_cases.pool, pooling_cases.random_inputs(pooling_cases.SIZES["odd"]), {}),
    "gated_update": lambda: (gated_update, gated_cases.random_inputs(gated_cases.SIZES["odd"], "lstm"), {}),
    "compress": lambda: (
        compress,
        compression_cases.random_inputs(compression_cases.SIZES["odd"], "mean"),
        {"rate": 3},
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_do_not_wait(name):
    function, inputs, options = FUNCTIONS[name]()
    results = astuple(function(**inputs, **options, implementation="torch"))
    with nothing_waits() as started:
        run(function, inputs, options, [torch.ones_like(x) for x in results], "triton")
    assert any("backward" in kernel for kernel in started)
