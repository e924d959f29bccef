import pytest
import torch

from memenc_kernels import document_pooling
from tests.kernels.compare import differences
from tests.kernels.pooling_cases import SIZES, pool, random_inputs

pytestmark = pytest.mark.gpu
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("size", [*SIZES.values(), (3, 5000, 384, 4, 8)], ids=[*SIZES, "long"])
def test_outputs_and_gradients(size, dtype):
    assert not differences(pool, random_inputs(size, dtype, "cuda"), {})


def test_compiled():
    inputs = random_inputs(SIZES["as used"], torch.bfloat16, "cuda")
    compiled = torch.compile(document_pooling, fullgraph=True)
    for left, right in zip(compiled(**inputs), document_pooling(**inputs), strict=True):
        assert torch.equal(left, right)
