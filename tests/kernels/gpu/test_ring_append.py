import pytest

from memenc_kernels.ring_append import ring_append
from tests.kernels.ring_cases import KINDS, SIZES, TOLERANCES, differences, random_rotation

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [*SIZES.values(), (4, 12, 512, 516, 256, 4, 512, 64)], ids=[*SIZES, "as used"])
def test_rings(size, kind, dtype):
    rotation = random_rotation(size, False, "cuda")
    assert not differences(size, kind, ring_append, rotation, dtype, "cuda")
