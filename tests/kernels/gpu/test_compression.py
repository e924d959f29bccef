import pytest
import torch

from memenc_kernels import compress
from tests.kernels.compare import differences
from tests.kernels.compression_cases import KINDS, SIZES, random_inputs, rotated, with_kernels

pytestmark = pytest.mark.gpu
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size, kind, dtype):
    for turn in (None, rotated(size, False, "cuda")):
        assert not differences(
            with_kernels(compress, turn), random_inputs(size, kind, dtype, "cuda"), {"rate": size[3], "kind": kind}
        )
