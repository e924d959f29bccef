import pytest
import torch

from memenc_kernels import gated_update
from tests.kernels.compare import differences
from tests.kernels.gated_cases import SIZES, random_inputs

pytestmark = pytest.mark.gpu
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("gate", ("ema", "lstm"))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size, gate, dtype):
    assert not differences(gated_update, random_inputs(size, gate, dtype, "cuda"), {})
