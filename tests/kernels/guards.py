"""What shows bugs of kernels on a CPU: guard bands of NaN, programs in reverse order, memory that is only addressed."""

from contextlib import contextmanager

import pytest
import torch

from memenc_kernels import launch

BAND = 256


class Guards:
    """Buffers with bands of NaN (True for bool, the largest number for whole ones) before and behind."""

    def __init__(self):
        self.bands = []

    def around(self, tensor):
        """The same numbers, strides and gradient wishes in a buffer with bands; gaps between strides hold NaN too."""
        copy = self._buffer(tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        # Of expanded axes the first stands for all.
        once = tuple(slice(None) if stride else slice(0, 1) for stride in tensor.stride())
        copy[once].copy_(tensor.detach()[once])
        return copy.requires_grad_(tensor.requires_grad)

    def empty(self, shape, like, dtype=None):
        """In place of `launch.empty`: NaN where a kernel wrote nothing."""
        strides = torch.empty(tuple(shape), device="meta").stride()
        return self._buffer(tuple(shape), strides, dtype or like.dtype, like.device)

    def overwritten(self):
        """How many numbers of the bands were written to."""
        return sum(
            int((~(band.isnan() if buffer.is_floating_point() else band == _filler(buffer.dtype))).sum())
            for buffer, length in self.bands
            for band in (buffer[:BAND], buffer[BAND + length :])
        )

    def _buffer(self, shape, strides, dtype, device):
        length = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        length = 0 if 0 in shape else length
        buffer = torch.full((length + 2 * BAND,), _filler(dtype), dtype=dtype, device=device)
        self.bands.append((buffer, length))
        return buffer.as_strided(shape, strides, BAND)


def _filler(dtype):
    if dtype.is_floating_point:
        return float("nan")
    return True if dtype == torch.bool else torch.iinfo(dtype).max


@contextmanager
def guarded_results():
    """Within, memory that kernels ask for has bands, which are checked at the end."""
    guards, original = Guards(), launch.empty
    launch.empty = guards.empty
    try:
        yield guards
        assert guards.overwritten() == 0, f"{guards.overwritten()} numbers beside a buffer were overwritten"
    finally:
        launch.empty = original


@contextmanager
def nothing_waits():
    """Within, no kernel starts, and it is an error to ask for the numbers of a tensor or to make one of numbers.

    A GPU would have to be waited for; and neither can be captured in a CUDA graph.

    Gives the names of the kernels that would have started.
    """
    names, patch = [], pytest.MonkeyPatch()

    def refuse(*arguments, **options):
        raise RuntimeError("this waits for the device")

    with patch.context() as patched:
        patched.setattr(launch, "start", lambda kernel, *arguments, **options: names.append(kernel.__name__))
        for name in ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__"):
            patched.setattr(torch.Tensor, name, refuse)
        for name in ("tensor", "as_tensor", "asarray", "from_numpy"):
            patched.setattr(torch, name, refuse)
        yield names


@contextmanager
def reversed_programs():
    """Within, the interpreter runs the programs of a kernel from the last to the first."""
    from triton.runtime import interpreter

    builder = interpreter.interpreter_builder
    original = builder.set_grid_idx

    def from_behind(*place):
        original(*(count - 1 - index for count, index in zip(builder.grid_dim, place, strict=True)))

    builder.set_grid_idx = from_behind
    try:
        yield
    finally:
        del builder.set_grid_idx


def far_apart(tensor, axis, stride):
    """The same numbers in memory that lies `stride` apart along `axis`; only what is touched takes room."""
    strides = list(tensor.contiguous().stride())
    strides[axis] = stride
    length = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, strides, strict=True))
    far = torch.empty(length, dtype=tensor.dtype).as_strided(tensor.shape, strides)
    far.copy_(tensor)
    return far
