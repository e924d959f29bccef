"""Every guard notices the fault it is for."""

import os
import subprocess
import sys

import pytest
import torch

from memenc_kernels import launch
from tests.kernels.guards import Guards, far_apart, guarded_results, reversed_programs
from tests.kernels.interpreted.toy import double_rows


def doubled(source, fault="none"):
    rows, length = source.shape
    target = launch.empty(source.shape, source)
    arguments = {"source": source, "target": target, "stride": source.stride(0), "length": length}
    launch.start(double_rows, (rows,), source, **arguments, FAULT=fault, BLOCK=16)
    return target


def test_a_store_behind_the_buffer_is_noticed():
    source = torch.randn(3, 7)
    with guarded_results():
        assert torch.equal(doubled(source), 2 * source)
    with pytest.raises(AssertionError, match="1 numbers beside a buffer"), guarded_results():
        doubled(source, "too far")


def test_a_load_beside_the_buffer_gives_nan():
    wide = torch.randn(3, 9)
    source = Guards().around(wide[:, :7])
    assert source.stride() == (9, 1) and torch.equal(source, wide[:, :7])
    assert torch.equal(doubled(source), 2 * source)
    assert source.as_strided((3, 8), (9, 1))[0, 7].isnan()


def test_programs_that_depend_on_their_order_are_noticed():
    source = torch.randn(1, 7).expand(4, -1).contiguous()
    with guarded_results():
        assert torch.equal(doubled(source, "order"), 2 * source), "in order, the fault does not show"
    with guarded_results(), reversed_programs():
        assert torch.equal(doubled(source), 2 * source)
        assert not torch.equal(doubled(source, "order"), 2 * source)


FAR = """
import torch
from tests.kernels.guards import far_apart
from tests.kernels.interpreted.test_guards import doubled
source = torch.randn(3, 7)
assert torch.equal(doubled(far_apart(source, 0, 2**30 + 5), {fault!r}), 2 * source)
"""


@pytest.mark.parametrize("fault", ["none", "narrow"])
def test_offsets_beyond_32_bits_are_noticed(fault):
    # Wrong addresses end the process.
    command = [sys.executable, "-c", FAR.format(fault=fault)]
    paths = os.pathsep.join([*sys.path, "."])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert (done.returncode == 0) == (fault == "none"), done.stderr


def test_memory_that_is_only_addressed():
    far = far_apart(torch.randn(3, 7), 0, 2**30)
    assert far.stride() == (2**30, 1) and far.isfinite().all()
