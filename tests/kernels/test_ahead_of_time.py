"""Every shipped kernel compiles for every architecture, without spills and within shared memory."""

import importlib.util

import pytest

from memenc_kernels import ahead
from memenc_kernels.architectures import ARCHITECTURES, Architecture, architecture_named
from memenc_kernels.report import table

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def check(everyday):
    compiled = list(ahead.compile_all(ahead.work(everyday)))
    for architecture in ARCHITECTURES:
        names = [each.name for each in compiled if each.architecture == architecture.name]
        wanted = [build.name for build in ahead.builds(architecture) if build.everyday or not everyday]
        assert names == wanted and len(set(names)) == len(names)
    wrong = [f"{each.name} for {each.architecture}: {'; '.join(each.faults)}" for each in compiled if each.faults]
    assert not wrong, "\n".join(wrong)
    assert table(compiled).row_count == len(compiled)


def test_everyday_builds():
    check(everyday=True)


@pytest.mark.slow
def test_all_builds():
    check(everyday=False)


def test_every_kernel_has_an_everyday_build():
    for architecture in ARCHITECTURES:
        kernels = {(build.module, build.kernel) for build in ahead.builds(architecture)}
        assert kernels == {(build.module, build.kernel) for build in ahead.builds(architecture) if build.everyday}


def spilling(name="spilling"):
    """A build that needs more registers and more shared memory than there are."""
    signature = {"source": "*fp32:16", "target": "*fp32:16", "SIZE": ahead.Constant(32_768)}
    options = {"num_warps": 2, "num_stages": 1}
    return ahead.Build(name, "tests.kernels.spilling", "too_large", signature, options, matrix=True)


def test_spills_and_shared_memory_are_noticed():
    tiny = Architecture("sm_80", "cuda", 32, shared_memory=1)
    faults = " ".join(ahead.compile_build(spilling(), tiny).faults)
    assert "spills" in faults and "shared memory" in faults


def test_missing_wgmma_is_noticed():
    # It has no matrices.
    assert "does not use wgmma" in ahead.compile_build(spilling(), architecture_named("sm_90")).faults
