import pytest
import torch

from memenc_kernels import linear_memory
from tests.kernels.compare import ON_TENSOR_CORES, differences
from tests.kernels.linear_cases import SIZES, random_inputs, random_options, strided

pytestmark = pytest.mark.gpu
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("rule", ("linear", "delta"))
@pytest.mark.parametrize("size", [*SIZES.values(), (2, 9, 12, 4, 512, 512, 64)], ids=[*SIZES, "as used"])
def test_outputs_and_gradients(size, rule, dtype):
    options = random_options(size[1]) | {"rule": rule}
    assert not differences(linear_memory, random_inputs(size, dtype, "cuda"), options, tolerance=ON_TENSOR_CORES)


def test_views():
    inputs = strided(random_inputs(SIZES["grouped"], device="cuda"))
    assert not differences(linear_memory, inputs, {}, guarded=False, tolerance=ON_TENSOR_CORES)


def test_compiled():
    inputs = random_inputs(SIZES["one over"], torch.bfloat16, "cuda")
    compiled = torch.compile(linear_memory, fullgraph=True)
    for left, right in zip(compiled(**inputs), linear_memory(**inputs), strict=True):
        assert torch.equal(left, right)
