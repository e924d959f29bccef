import pytest
import torch

from memenc_kernels import linear_memory
from tests.kernels.compare import differences
from tests.kernels.linear_cases import SIZES, random_inputs, random_options, strided

pytestmark = pytest.mark.gpu
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("rule", ("linear", "delta"))
@pytest.mark.parametrize("size", [*SIZES.values(), (2, 9, 12, 4, 512, 512, 64)], ids=[*SIZES, "as used"])
def test_outputs_and_gradients(size, rule, dtype):
    assert not differences(linear_memory, random_inputs(size, dtype, "cuda"), random_options(size[1]) | {"rule": rule})


def test_views():
    assert not differences(linear_memory, strided(random_inputs(SIZES["grouped"], device="cuda")), {}, guarded=False)


def test_compiled():
    inputs = random_inputs(SIZES["one over"], torch.bfloat16, "cuda")
    compiled = torch.compile(linear_memory, fullgraph=True)
    for left, right in zip(compiled(**inputs), linear_memory(**inputs), strict=True):
        assert torch.equal(left, right)
