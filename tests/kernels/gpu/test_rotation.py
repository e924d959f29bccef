import pytest
import torch

from tests.kernels.compare import differences
from tests.kernels.rotation_cases import SIZES, random_rotation, random_tokens, rotating

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16), ids=str)
@pytest.mark.parametrize("interleaved", (False, True))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_output_and_gradient(size, interleaved, dtype):
    rotation = random_rotation(size, interleaved, "cuda")
    assert not differences(rotating(rotation), random_tokens(size, dtype, "cuda"), {})
