"""Memory attention in Triton on a GPU against the reference in float64: output, log weight and every gradient."""

import pytest
import torch

from memenc_kernels import memory_attention, memory_attention_with_log_weight
from tests.kernels.guards import Guards, guarded_results
from tests.kernels.lines import CASES, OPTIONS, converted, differences, everything, problem, random_weights

pytestmark = pytest.mark.gpu

LARGE = {
    "a window and slots": (2, 5, 4, 2, 512, 64, [(128, 128), (512, 512)]),
    "shifted views": (1, 9, 2, 2, 257, 64, [(257, 64), (640, 257)]),
    "wide heads": (1, 3, 2, 1, 127, 128, [(127, 63)]),
    "odd heads": (1, 3, 2, 1, 127, 80, [(127, 63)]),
    "many segments": (1, 200, 2, 2, 64, 32, [(96, 64)]),
}
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("case", [*CASES, *LARGE])
def test_all_sizes(case, dtype):
    assert not differences(problem({**CASES, **LARGE}[case], dtype, device="cuda"), {})


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("option", OPTIONS)
def test_all_options(option, dtype):
    assert not differences(problem(LARGE["shifted views"], dtype, device="cuda"), OPTIONS[option])
    assert not differences(problem(LARGE["a window and slots"], dtype, masks=False, device="cuda"), OPTIONS[option])


def test_the_same_bits_every_time():
    arguments = problem(LARGE["shifted views"], torch.bfloat16, device="cuda")
    weights = random_weights(arguments)
    first, *others = (
        everything(converted(arguments, lambda x: x.detach().requires_grad_()), {}, weights, "triton") for _ in range(3)
    )
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_nothing_beside_the_buffers_is_read_or_written():
    guards = Guards()
    arguments = converted(problem(LARGE["shifted views"], device="cuda"), lambda x: guards.around(x.contiguous()))
    arguments["valid"] = guards.around(arguments["valid"])
    with guarded_results():
        assert not differences(arguments, {})
    assert guards.overwritten() == 0


def test_unaligned_entries():
    arguments = problem(LARGE["shifted views"], torch.bfloat16, device="cuda")
    assert not differences(
        converted(arguments, lambda x: torch.cat([x[..., :1], x], -1)[..., 1:] if x.dim() > 3 else x), {}
    )


def test_compiled():
    arguments = problem(LARGE["a window and slots"], torch.bfloat16, device="cuda")
    plain = memory_attention_with_log_weight(**arguments, implementation="triton")
    compiled = torch.compile(
        lambda: memory_attention_with_log_weight(**arguments, implementation="triton"), fullgraph=True
    )
    for left, right in zip(plain, compiled(), strict=True):
        assert torch.equal(left, right)


def test_auto_runs_triton_on_a_gpu():
    arguments = problem(LARGE["wide heads"], torch.bfloat16, device="cuda")
    assert torch.equal(memory_attention(**arguments), memory_attention(**arguments, implementation="triton"))
